// swift-tools-version:6.2
import PackageDescription

// What is measured, in a package of its own so that users of Micro never build it.
let package = Package(
    name: "bench",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "micro", path: "../"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
    ],
    targets: [
        // The C core without Swift.
        .executableTarget(
            name: "echo-c", dependencies: [.product(name: "CMicroCore", package: "micro")],
            path: "echo-c"),
        .executableTarget(
            name: "echo",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Micro", package: "micro"),
                .product(name: "MicroProtobuf", package: "micro"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            path: "echo"),
        .executableTarget(
            name: "codecs",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CMicroCore", package: "micro"),
                .product(name: "Micro", package: "micro"),
                .product(name: "MicroProtobuf", package: "micro"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            path: "codecs", exclude: ["Protos"]),
        .executableTarget(
            name: "soak", dependencies: [.product(name: "Micro", package: "micro")], path: "soak"),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
