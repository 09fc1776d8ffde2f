// swift-tools-version:6.2
import PackageDescription

let package = Package(
    name: "chat",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "micro", path: "../..")],
    targets: [
        .executableTarget(
            name: "chat", dependencies: [.product(name: "Micro", package: "micro")],
            path: "Sources/Chat")
    ],
    swiftLanguageModes: [.v6]
)
