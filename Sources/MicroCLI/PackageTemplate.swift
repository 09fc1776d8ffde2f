/// What `microctl new` writes: messages shared by service and callers, the service, a client, and
/// a test that runs the one against the other.
struct PackageTemplate {
    let name: String
    let microPath: String

    /// "order-book" is `OrderBook`.
    private var type: String {
        name.split(separator: "-").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    var files: [NewFile] {
        [
            NewFile(path: ".gitignore", text: ".build/\nPackage.resolved\n"),
            NewFile(path: "Package.swift", text: manifest),
            NewFile(path: "README.md", text: readme),
            NewFile(path: "Sources/\(type)API/\(type)API.swift", text: api),
            NewFile(path: "Sources/\(type)Service/\(type)Service.swift", text: service),
            NewFile(path: "Sources/\(type)Main/Main.swift", text: main),
            NewFile(path: "Sources/\(type)Client/Main.swift", text: client),
            NewFile(path: "Tests/\(type)Tests/\(type)Tests.swift", text: tests),
        ]
    }

    private var manifest: String {
        """
        // swift-tools-version:6.2
        import PackageDescription

        let package = Package(
            name: "\(name)",
            platforms: [.macOS(.v15)],
            dependencies: [
                .package(name: "micro", path: \(literal(microPath)))
            ],
            targets: [
                // The messages and endpoints: what callers link.
                .target(
                    name: "\(type)API",
                    dependencies: [.product(name: "Micro", package: "micro")]),
                // The handlers, apart from the program, so that tests can run them.
                .target(name: "\(type)Service", dependencies: ["\(type)API"]),
                .executableTarget(
                    name: "\(name)", dependencies: ["\(type)Service"],
                    path: "Sources/\(type)Main"),
                .executableTarget(
                    name: "\(name)-client", dependencies: ["\(type)API"],
                    path: "Sources/\(type)Client"),
                .testTarget(name: "\(type)Tests", dependencies: ["\(type)Service"]),
            ],
            swiftLanguageModes: [.v6]
        )

        """
    }

    private var api: String {
        """
        public import Micro

        public struct GreetRequest: Codable, Sendable {
            public var name: String
            public init(name: String) { self.name = name }
        }

        public struct GreetReply: Codable, Sendable {
            public var message: String
            public init(message: String) { self.message = message }
        }

        extension Endpoint where Request == GreetRequest, Reply == GreetReply {
            public static var greet: Self { .init("\(name)", "\(type).Greet") }
        }

        """
    }

    private var service: String {
        """
        import \(type)API
        public import Micro

        /// The service with its handlers, for the program and for tests.
        public func makeService(options: ServiceOptions = ServiceOptions()) -> MicroService {
            let service = MicroService(name: "\(name)", version: "0.1.0", options: options)
            service.handle(.greet) { request, context in
                guard !request.name.isEmpty else {
                    throw MicroError.invalid("\(name).greet", "must not be empty", at: "name")
                }
                return GreetReply(message: "Hello, \\(request.name)")
            }
            return service
        }

        """
    }

    private var main: String {
        """
        import \(type)Service

        @main
        struct Main {
            static func main() async throws {
                try await makeService().run()
            }
        }

        """
    }

    private var client: String {
        """
        import \(type)API
        import Micro

        @main
        struct Main {
            static func main() async throws {
                let name = CommandLine.arguments.dropFirst().first ?? "world"
                print(try await Client().call(.greet, GreetRequest(name: name)).message)
            }
        }

        """
    }

    private var tests: String {
        """
        import \(type)API
        import \(type)Service
        import Micro
        import Testing

        @Test func greets() async throws {
            var options = ServiceOptions()
            options.register = MemoryRegister()
            options.drainDelay = .zero
            let service = makeService(options: options)
            try await service.start()

            let reply = try await service.client.call(.greet, GreetRequest(name: "Ada"))
            #expect(reply.message == "Hello, Ada")

            let error = await #expect(throws: MicroError.self) {
                try await service.client.call(.greet, GreetRequest(name: ""))
            }
            #expect(error?.code == .invalidArgument)

            try await service.stop()
        }

        """
    }

    private var readme: String {
        """
        # \(name)

        A service on Micro.

            swift test
            swift run \(name) &
            swift run \(name)-client Ada

        """
    }

    private func literal(_ text: String) -> String {
        let escaped = text.flatMap { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }
        return "\"\(String(escaped))\""
    }
}
