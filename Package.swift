// swift-tools-version:6.2
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

// It has a macro that SwiftPM refuses, with a warning; on Linux the library is found without it.
#if os(Linux)
let hiredisConfig: String? = nil
#else
let hiredisConfig: String? = "hiredis"
#endif

let package = Package(
    name: "micro",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Micro", targets: ["Micro"]),
        .library(name: "MicroEtcd", targets: ["MicroEtcd"]),
        .library(name: "MicroProtobuf", targets: ["MicroProtobuf"]),
        .library(name: "MicroRedis", targets: ["MicroRedis"]),
        .library(name: "MicroTesting", targets: ["MicroTesting"]),
        .library(name: "MicroYAML", targets: ["MicroYAML"]),
        .library(name: "MicroZstd", targets: ["MicroZstd"]),
        .library(name: "CMicroCore", targets: ["CMicroCore"]),
        .library(name: "CTransportKit", targets: ["CTransportKit"]),
        .executable(name: "micro-interop", targets: ["micro-interop"]),
        .executable(name: "microctl", targets: ["microctl"]),
        .executable(name: "protoc-gen-micro-swift", targets: ["protoc-gen-micro-swift"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.3"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        // Without its traits: they are for delimited streams, and need all of Foundation.
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
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
        // The conformance kit, for authors of transport plugins.
        .target(
            name: "CTransportKit",
            dependencies: ["CMicroCore"],
            path: "Sources/TransportKit",
            cSettings: [
                .enableWarning("all"),
                .enableWarning("extra"),
                .treatAllWarnings(as: .error),
            ]
        ),
        // The content coding zstd, for MicroZstd: the core does without libzstd.
        .target(
            name: "CZstdCoding",
            dependencies: ["CMicroCore", "CZstd"],
            path: "Sources/ZstdCoding",
            cSettings: [
                .enableWarning("all"),
                .enableWarning("extra"),
                .treatAllWarnings(as: .error),
            ]
        ),
        .systemLibrary(
            name: "CHiredis", path: "Sources/System/CHiredis", pkgConfig: hiredisConfig,
            providers: [.apt(["libhiredis-dev"]), .brew(["hiredis"])]),
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
        .systemLibrary(
            name: "CZstd", path: "Sources/System/CZstd", pkgConfig: "libzstd",
            providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),

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
        .target(
            name: "MicroProtobuf",
            dependencies: [
                "Micro", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "MicroEtcd",
            dependencies: [
                "Micro", "MicroProtobuf",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Protos"],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "MicroRedis",
            dependencies: [
                "CHiredis", "Micro", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "MicroYAML",
            dependencies: ["Micro", .product(name: "Yams", package: "Yams")],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "MicroZstd", dependencies: ["CZstdCoding", "Micro"],
            swiftSettings: swiftSettings),
        .target(name: "MicroTesting", dependencies: ["Micro"], swiftSettings: swiftSettings),
        // Messages that are known only at run time, for microctl.
        .target(name: "MicroReflection", dependencies: ["Micro"], swiftSettings: swiftSettings),
        .executableTarget(
            name: "microctl",
            dependencies: [
                "CTransportKit", "Micro", "MicroEtcd", "MicroReflection",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/MicroCLI",
            swiftSettings: swiftSettings
        ),

        .executableTarget(
            name: "protoc-gen-micro-swift",
            dependencies: [
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "SwiftProtobufPluginLibrary", package: "swift-protobuf"),
            ],
            path: "Sources/ProtobufGenerator",
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "micro-interop",
            dependencies: [
                "Micro", "MicroProtobuf",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            path: "Sources/Interop",
            exclude: ["Protos"],
            swiftSettings: swiftSettings
        ),

        // An example; here, too, because the tests start it.
        .executableTarget(
            name: "chat", dependencies: ["Micro"], path: "Examples/chat/Sources/Chat",
            swiftSettings: swiftSettings),

        .testTarget(
            name: "MicroTests",
            dependencies: ["CMicroCore", "Micro", "MicroTesting", "MicroZstd"],
            swiftSettings: swiftSettings
        ),
        // Generated code alone, of names that are hard to generate for; public, in its own module.
        .target(
            name: "ProtobufNames",
            dependencies: [
                "Micro", "MicroProtobuf",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            path: "Tests/ProtobufNames",
            exclude: ["Protos"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MicroProtobufTests",
            dependencies: [
                "Micro", "MicroProtobuf", "ProtobufNames",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Protos"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MicroReflectionTests",
            dependencies: ["Micro", "MicroReflection"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MicroEtcdTests",
            dependencies: ["Micro", "MicroEtcd"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MicroRedisTests",
            dependencies: ["Micro", "MicroRedis", "MicroTesting"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "MicroYAMLTests",
            dependencies: ["Micro", "MicroTesting", "MicroYAML"],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Micro", "MicroEtcd", "MicroRedis", "MicroTesting", "MicroZstd",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Peers"],
            swiftSettings: swiftSettings
        ),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
