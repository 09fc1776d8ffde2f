// swift-tools-version:6.2
import PackageDescription

let package = Package(
    name: "quickstart",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "micro", path: "../..")],
    targets: [
        // The messages, shared by the service and its callers.
        .target(name: "GreeterAPI", dependencies: [.product(name: "Micro", package: "micro")]),
        .executableTarget(name: "greeter", dependencies: ["GreeterAPI"], path: "Sources/Greeter"),
        .executableTarget(
            name: "frontdoor", dependencies: ["GreeterAPI"], path: "Sources/FrontDoor"),
        // Starts the others: `make run` and `make demo`.
        .executableTarget(
            name: "quickstart", dependencies: ["GreeterAPI"], path: "Sources/Quickstart"),
    ],
    swiftLanguageModes: [.v6]
)
