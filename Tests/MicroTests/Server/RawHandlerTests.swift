import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct RawHandlerTests {
    private func withReverser(
        hooks: [ServerHook] = [], _ body: @escaping @Sendable (Client) async throws -> Void
    ) async throws {
        try await withSimulation(seed: 11) {
            let service = makeService(at: "memory://reverser")
            for hook in hooks { service.hook(hook) }
            service.handleRaw("Bytes.Reverse") { request, reply, context in
                guard request.byteCount > 0 else { throw MicroError.invalid("bytes", "nothing") }
                reply.reserve(request.byteCount)
                for index in (0..<request.byteCount).reversed() {
                    reply.append(request.unsafeLoad(fromByteOffset: index, as: UInt8.self))
                }
            }
            service.handleRaw("Bytes.Twice") { request, reply, context in
                reply.append(request)
                reply.append(request)
            }
            try await running(service) {
                let client = makeClient(at: "memory://reverser")
                try await body(client)
                await client.close()
            }
        }
    }

    @Test(arguments: [false, true]) func readsAndWritesInPlace(hasHook: Bool) async throws {
        let hook: ServerHook = { context, next in try await next(context) }
        try await withReverser(hooks: hasHook ? [hook] : []) { client in
            for count in [1, 2, 1000, 100_000, 3] {
                let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
                let back: [UInt8] = try await client.call("greeter", "Bytes.Reverse", bytes)
                #expect(back == bytes.reversed())
            }
            let empty: [UInt8] = try await client.call("greeter", "Bytes.Twice", [UInt8]())
            #expect(empty == [])
            // What is left of a longer reply before is not in a shorter one.
            let short: [UInt8] = try await client.call("greeter", "Bytes.Twice", [UInt8](1...2))
            #expect(short == [1, 2, 1, 2])
        }
    }

    @Test func refuses() async throws {
        try await withReverser { client in
            let error = try await #require(throws: MicroError.self) {
                let _: [UInt8] = try await client.call("greeter", "Bytes.Reverse", [UInt8]())
            }
            #expect(error.code == .invalidArgument)
            #expect(error.detail == "nothing")
            let json = try await #require(throws: MicroError.self) {
                let _: [UInt8] = try await client.call(
                    "greeter", "Bytes.Reverse", "text",
                    options: CallOptions(contentType: "application/json"))
            }
            #expect(json.code == .unsupportedMediaType, "\(json)")
        }
    }

    @Test func aMessageIsAddedTo() {
        var message = MessageWriter(capacity: 8)
        message.append([1, 2])
        message.append(3)
        message.append("é")
        message.append([4, 5])
        let whole: [UInt8] = [9]
        message.append(whole.span.bytes)
        #expect(message.count == 8)
        #expect(message.bytes == [1, 2, 3, 0xC3, 0xA9, 4, 5, 9])
        message.reset(keeping: 1024)
        #expect(message.count == 0 && message.bytes.capacity >= 8)
        message.append([UInt8](repeating: 0, count: 2048))
        message.reset(keeping: 1024)
        #expect(message.bytes.capacity == 0)
    }
}
