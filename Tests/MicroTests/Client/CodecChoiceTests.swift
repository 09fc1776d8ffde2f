import Testing

@testable import Micro

/// Which codec a call uses when its caller doesn't say.
@Suite(.timeLimit(.minutes(10)))
struct CodecChoiceTests {
    private func calls(
        codecs: [[any Codec]], client clientCodecs: [any Codec] = Codecs.standard
    ) async throws {
        try await withSimulation(seed: 5) {
            let register = MemoryRegister()
            let services = codecs.enumerated().map { index, codecs in
                let service = makeService(
                    version: "\(index)", at: "memory://greeter-\(index)", in: register
                ) { $0.codecs = Codecs(codecs) }
                service.handle(.hello) { request, context in
                    Greeting(message: "Hello, \(request.name)")
                }
                return service
            }
            for service in services { try await service.start() }
            let client = Client(
                resolver: RegisterResolver(register: register), options: .patient,
                codecs: Codecs(clientCodecs))
            for _ in 0..<10 {
                let reply = try await client.call(.hello, Hello(name: "Ada"))
                #expect(reply.message == "Hello, Ada")
            }
            await client.close()
            for service in services { try await service.stop() }
            await register.close()
        }
    }

    @Test func theFirstThatBothKnow() async throws {
        try await calls(codecs: [[MessagePackCodec()]])
        try await calls(codecs: [[CBORCodec(), MessagePackCodec()]])
        try await calls(codecs: [[JSONCodec()]], client: [CBORCodec(), JSONCodec()])
    }

    @Test func oneThatAllNodesKnow() async throws {
        try await calls(codecs: [[JSONCodec(), CBORCodec()], [MessagePackCodec(), CBORCodec()]])
    }

    @Test func withoutAnyInCommonTheNodeSaysWhatItTakes() async throws {
        let error = try await #require(throws: MicroError.self) {
            try await calls(codecs: [[CBORCodec()]], client: [JSONCodec()])
        }
        #expect(error.code == .unsupportedMediaType, "\(error)")
        #expect(error.detail.contains("application/cbor"), "\(error)")
    }

    @Test func whatNodesHaveInCommon() {
        func common(_ codecs: [String]...) -> [String]? {
            Resolution(
                service: "s",
                nodes: codecs.map { ResolvedNode(id: "n", addresses: ["tcp://h:1"], codecs: $0) },
                revision: 1
            ).codecsInCommon
        }
        #expect(common() == nil)
        #expect(common([]) == nil)
        #expect(common(["a", "b"]) == ["a", "b"])
        #expect(common(["a", "b"], [], ["b", "c"]) == ["b"])
        #expect(common(["a"], ["b"]) == [])
    }
}
