// swift-tools-version:6.2
import PackageDescription

// What is measured, in a package of its own so that users of Micro never build it.
let package = Package(
    name: "bench",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "micro", path: "../")],
    targets: [
        .executableTarget(
            name: "c-echo", dependencies: [.product(name: "CMicroCore", package: "micro")],
            path: "c-echo"),
        .executableTarget(
            name: "soak", dependencies: [.product(name: "Micro", package: "micro")], path: "soak"),
        .executableTarget(
            name: "swift-echo", dependencies: [.product(name: "Micro", package: "micro")],
            path: "swift-echo"),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
