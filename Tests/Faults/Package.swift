// swift-tools-version:6.2
import PackageDescription

// The programs that `make faults` starts, kills and stalls: a package of its own, so that users of
// Micro never build it.
let package = Package(
    name: "faults",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "micro", path: "../../"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .executableTarget(
            name: "faults",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Micro", package: "micro"),
                .product(name: "MicroEtcd", package: "micro"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
