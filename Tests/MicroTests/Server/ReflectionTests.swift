import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct ReflectionTests {
    private static let shop = { () -> FileDescriptor in
        var file = FileDescriptor(name: "shop.proto", package: "shop")
        file.dependencies = ["item.proto"]
        file.messages = [
            MessageDescriptor("Order", [FieldDescriptor("item", 1, .message, ".shop.Item")])
        ]
        file.services = [ServiceDescriptor("Cart", [.init("Add", ".shop.Order", ".shop.Order")])]
        return file
    }()

    private static let item = { () -> FileDescriptor in
        var file = FileDescriptor(name: "item.proto", package: "shop")
        file.messages = [MessageDescriptor("Item", [FieldDescriptor("name", 1, .string)])]
        return file
    }()

    private static func addEndpoints(_ service: MicroService) {
        service.handle("Greeter.Hello") { (_: Empty, context) in Empty() }
        service.handle("shop.Cart/Add") { (_: Empty, context) in Empty() }
        service.describe([shop.protobuf, item.protobuf])
        service.describe([item.protobuf])
    }

    /// Asks on one stream, and gives the answers.
    private func ask(
        _ client: Client, _ version: String = "v1", _ questions: ReflectionRequest.Question...
    ) async throws -> [ReflectionResponse.Answer?] {
        try await client.exchange(
            "s", "grpc.reflection.\(version).ServerReflection/ServerReflectionInfo",
            writing: WireCoding<ReflectionRequest>(),
            reading: WireCoding<ReflectionResponse>()
        ) { out, replies in
            var iterator = replies.makeAsyncIterator()
            var answers: [ReflectionResponse.Answer?] = []
            for question in questions {
                var request = ReflectionRequest(question)
                request.host = "here"
                try await out.send(request)
                let response = try await iterator.next()
                #expect(response?.request == request)
                answers.append(response?.answer)
            }
            try await out.finish()
            #expect(try await iterator.next() == nil)
            return answers
        }
    }

    private func names(_ answer: ReflectionResponse.Answer?) throws -> [String] {
        guard case .files(let files) = answer else {
            Issue.record("\(String(describing: answer)) has no files")
            return []
        }
        return try files.map { try FileDescriptor(protobuf: $0).name }
    }

    private func isMissing(_ answer: ReflectionResponse.Answer?, _ text: String) -> Bool {
        guard case .failure(5, let message) = answer else { return false }
        return message.contains(text)
    }

    @Test(arguments: Place.allCases)
    func servicesAreListed(place: Place) async throws {
        try await withService(place, Self.addEndpoints) { client in
            for version in ["v1", "v1alpha"] {
                let answers = try await ask(client, version, .services)
                let services = [
                    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                    "grpc.reflection.v1alpha.ServerReflection", "s.Greeter", "shop.Cart",
                ]
                #expect(answers == [.services(services)])
            }
        }
    }

    @Test(arguments: Place.allCases)
    func filesComeWithWhatTheyImportOnce(place: Place) async throws {
        try await withService(place, Self.addEndpoints) { client in
            let answers = try await ask(
                client, "v1", .fileContaining(symbol: "shop.Cart.Add"), .file(named: "shop.proto"),
                .fileContaining(symbol: ".shop.Item"), .fileContaining(symbol: "shop.Order.item"))
            #expect(try names(answers[0]) == ["shop.proto", "item.proto"])
            #expect(try names(answers[1]) == ["shop.proto"])
            #expect(try names(answers[2]) == ["item.proto"])
            #expect(try names(answers[3]) == ["shop.proto"])
            #expect(answers[1] == .files([Self.shop.protobuf]))
        }
    }

    @Test func ownFilesAreDescribed() async throws {
        try await withService(.simulation, Self.addEndpoints) { client in
            let answers = try await ask(
                client, "v1", .fileContaining(symbol: "grpc.health.v1.Health"),
                .fileContaining(symbol: "grpc.reflection.v1.ServerReflectionRequest"),
                .file(named: "grpc/reflection/v1alpha/reflection.proto"),
                .fileContaining(symbol: "grpc.health.v1.HealthCheckResponse.SERVING"))
            #expect(try names(answers[0]) == ["grpc/health/v1/health.proto"])
            #expect(try names(answers[1]) == ["grpc/reflection/v1/reflection.proto"])
            #expect(try names(answers[2]) == ["grpc/reflection/v1alpha/reflection.proto"])
            #expect(try names(answers[3]) == ["grpc/health/v1/health.proto"])
        }
    }

    @Test func whatIsNotThereIsNamed() async throws {
        try await withService(.simulation, Self.addEndpoints) { client in
            let answers = try await ask(
                client, "v1", .file(named: "no.proto"), .fileContaining(symbol: "s.Greeter"),
                .fileContainingExtension(7, of: "shop.Item"), .extensions(of: "shop.Nothing"),
                .extensions(of: "shop.Item"))
            #expect(isMissing(answers[0], "file \"no.proto\""))
            #expect(isMissing(answers[1], "symbol \"s.Greeter\""))
            #expect(isMissing(answers[2], "extension 7 of \"shop.Item\""))
            #expect(isMissing(answers[3], "message \"shop.Nothing\""))
            #expect(answers[4] == .extensions([], of: "shop.Item"))
        }
    }

    @Test func aQuestionOfTheFutureIsRefused() async throws {
        var request = ReflectionRequest(.services)
        request.question = nil
        var sent: Set<String> = []
        let reflection = Reflection(services: [], index: DescriptorIndex())
        let response = reflection.answer(request, sent: &sent)
        guard case .failure(3, _) = response.answer else {
            Issue.record("\(response)")
            return
        }
    }

    @Test func wrongDescriptionsKeepAServiceFromStarting() async throws {
        try await withSimulation {
            var other = Self.item
            other.messages[0].name = "Thing"
            var rival = Self.item
            rival.name = "rival.proto"
            let service = makeService("s")
            service.describe([
                [0xFF], Self.item.protobuf, other.protobuf, rival.protobuf, [],
            ])
            let error = try await microError { try await service.start() }
            #expect(error.code == .invalidArgument)
            for part in [
                "1 bytes given to describe() are no FileDescriptorProto",
                "two different files \"item.proto\"",
                "\"rival.proto\" and \"item.proto\" both define shop.Item", "has no name",
            ] {
                #expect(error.detail.contains(part), "\(error.detail)")
            }
        }
    }

    @Test func missingImportsAreLogged() async throws {
        try await withSimulation {
            let log = LogJournal()
            let service = makeService("s", log: log)
            service.describe([Self.shop.protobuf])
            try await running(service) {
                #expect(log.contains("warning: reflection lacks files", "files=item.proto"))
            }
        }
    }

    @Test func itCanBeSwitchedOff() async throws {
        try await withSimulation {
            let service = makeService("s") { $0.server.reflection = false }
            try await running(service) {
                await expectError(.unimplemented) {
                    _ = try await ask(service.client, "v1", .services)
                }
            }
        }
    }
}
