// swift-tools-version:6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "micro",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Micro", targets: ["Micro"]),
        .library(name: "MicroTesting", targets: ["MicroTesting"]),
        .library(name: "CMicroCore", targets: ["CMicroCore"]),
        .executable(name: "microctl", targets: ["microctl"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    ],
    targets: [
        // The C core. `path: "."` because the public headers live in the top-level include/.
        .target(
            name: "CMicroCore",
            dependencies: ["CNGHTTP2", "COpenSSL", "CSQLite", "CUV", "CZlib"],
            path: ".",
            sources: ["Sources/CMicroCore"],
            publicHeadersPath: "include",
            cSettings: [
                .headerSearchPath("Sources/CMicroCore"),
                .enableWarning("all"),
                .enableWarning("extra"),
                .treatAllWarnings(as: .error),
            ]
        ),
        .systemLibrary(
            name: "CNGHTTP2", path: "Sources/System/CNGHTTP2", pkgConfig: "libnghttp2",
            providers: [.apt(["libnghttp2-dev"]), .brew(["nghttp2"])]),
        .systemLibrary(
            name: "COpenSSL", path: "Sources/System/COpenSSL", pkgConfig: "openssl",
            providers: [.apt(["libssl-dev"]), .brew(["openssl@3"])]),
        .systemLibrary(
            name: "CSQLite", path: "Sources/System/CSQLite", pkgConfig: "sqlite3",
            providers: [.apt(["libsqlite3-dev"]), .brew(["sqlite"])]),
        .systemLibrary(
            name: "CUV", path: "Sources/System/CUV", pkgConfig: "libuv",
            providers: [.apt(["libuv1-dev"]), .brew(["libuv"])]),
        .systemLibrary(
            name: "CZlib", path: "Sources/System/CZlib", pkgConfig: "zlib",
            providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),

        .target(
            name: "Micro",
            dependencies: [
                "CMicroCore",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
            ],
            swiftSettings: swiftSettings
        ),
        .target(name: "MicroTesting", dependencies: ["Micro"], swiftSettings: swiftSettings),
        // Messages that are known only at run time, for microctl.
        .target(name: "MicroReflection", dependencies: ["Micro"], swiftSettings: swiftSettings),
        .executableTarget(
            name: "microctl",
            dependencies: [
                "Micro", "MicroReflection",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/MicroCLI",
            swiftSettings: swiftSettings
        ),

        .testTarget(
            name: "MicroTests",
            dependencies: ["Micro", "MicroTesting"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MicroReflectionTests",
            dependencies: ["Micro", "MicroReflection"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Micro", "MicroTesting", .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["Peers"],
            swiftSettings: swiftSettings
        ),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
