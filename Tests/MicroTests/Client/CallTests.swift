import Testing

@testable import Micro

/// Calls from a client to a service and back, in a simulation and over sockets.
@Suite(.timeLimit(.minutes(10)))
struct CallTests {
    private func withGreeter(
        _ place: Place, log: LogJournal = LogJournal(),
        _ configure: @escaping @Sendable (MicroService) -> Void,
        _ body: @escaping @Sendable (MicroService) async throws -> Void
    ) async throws {
        try await place.run {
            let service = makeService(at: place.address("greeter"), log: log)
            configure(service)
            try await running(service) { try await body(service) }
        }
    }

    // MARK: Messages

    @Test(arguments: Place.allCases)
    func everyKindOfHandlerAnswers(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("Greeter.Sync") { (request: Hello, context) in
                Greeting(message: "sync \(request.name)")
            }
            service.handle("Greeter.Async") { (request: Hello, context) in
                try await context.clock.sleep(for: .milliseconds(1))
                return Greeting(message: "async \(request.name)")
            }
            service.handle("Greeter.Parallel", execution: SyncExecution.concurrent) {
                (request: Hello, context) in Greeting(message: "parallel \(request.name)")
            }
            service.handle("Greeter.AsyncParallel", execution: AsyncExecution.concurrent) {
                (request: Hello, context) in
                await Task.yield()
                return Greeting(message: "async parallel \(request.name)")
            }
        } _: { service in
            for (endpoint, word) in [
                ("Sync", "sync"), ("Async", "async"), ("Parallel", "parallel"),
                ("AsyncParallel", "async parallel"),
            ] {
                let reply: Greeting = try await service.client.call(
                    "greeter", "Greeter.\(endpoint)", Hello(name: "Ada"))
                #expect(reply.message == "\(word) Ada")
            }
            #expect(service.statistics.callsTotal == 4)
        }
    }

    @Test(arguments: Place.allCases)
    func aTypedEndpointNeedsNoNames(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle(.hello) { request, context in
                Greeting(message: "\(context.service) \(context.endpoint) \(request.name)")
            }
        } _: { service in
            let reply = try await service.client.call(.hello, Hello(name: "Ada"))
            #expect(reply.message == "greeter Greeter.Hello Ada")
            let response = try await service.client.response(.hello, Hello(name: "Bob"))
            #expect(response.reply.message == "greeter Greeter.Hello Bob")
            #expect(response.report == CallReport(node: service.nodeID, attempts: 1))
        }
    }

    @Test(arguments: Place.allCases)
    func bytesTextAndNothing(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("Bytes") { (bytes: [UInt8], context) in bytes.reversed() as [UInt8] }
            service.handle("Text") { (text: String, context) in text + "!" }
            service.handle("Nothing") { (_: Empty, context) in Empty() }
            service.handle("Number") { (number: Int, context) in number + 1 }
        } _: { service in
            let client = service.client
            let bytes: [UInt8] = try await client.call("greeter", "Bytes", [UInt8](0...255))
            #expect(bytes == (0...255).reversed())
            #expect(try await client.call("greeter", "Bytes", [UInt8](), as: [UInt8].self) == [])
            #expect(try await client.call("greeter", "Text", "Grüße", as: String.self) == "Grüße!")
            #expect(try await client.call("greeter", "Nothing", Empty(), as: Empty.self) == Empty())
            #expect(try await client.call("greeter", "Number", 41, as: Int.self) == 42)
        }
    }

    /// The reply has another codec than the request when its type needs one.
    @Test(arguments: Place.allCases)
    func theReplyMayNeedAnotherCodec(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("Measure") { (bytes: [UInt8], context) in
                Greeting(message: "\(bytes.count) bytes")
            }
            service.handle("Render") { (request: Hello, context) in Array(request.name.utf8) }
            service.handle("Describe") { (text: String, context) in Greeting(message: text) }
        } _: { service in
            let client = service.client
            let measured: Greeting = try await client.call("greeter", "Measure", [UInt8](0...9))
            #expect(measured.message == "10 bytes")
            let rendered: [UInt8] = try await client.call("greeter", "Render", Hello(name: "Ada"))
            #expect(rendered == Array("Ada".utf8))
            let described: Greeting = try await client.call(
                "greeter", "Describe", "plain", options: CallOptions(contentType: "text/plain"))
            #expect(described.message == "plain")
        }
    }

    @Test(arguments: Place.allCases)
    func largeMessagesPassAndTooLargeOnesAreRefused(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("Bytes") { (bytes: [UInt8], context) in bytes }
        } _: { service in
            let large = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let reply: [UInt8] = try await service.client.call("greeter", "Bytes", large)
            #expect(reply == large)
            let error = try await microError {
                _ = try await service.client.call(
                    "greeter", "Bytes", [UInt8](repeating: 0, count: 5 << 20), as: [UInt8].self)
            }
            #expect(error.code == .resourceExhausted)
            // The connection, or another one, still works.
            #expect(try await service.client.call("greeter", "Bytes", [1], as: [UInt8].self) == [1])
        }
    }

    @Test(arguments: Place.allCases)
    func manyCallsAtOnceGetTheirOwnAnswers(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("Double") { (number: Int, context) in
                try await context.clock.sleep(for: .milliseconds(number % 7))
                return number * 2
            }
        } _: { service in
            try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                for number in 0..<1000 {
                    group.addTask {
                        let reply: Int = try await service.client.call(
                            "greeter", "Double", number,
                            options: CallOptions(timeout: .seconds(60)))
                        return (number, reply)
                    }
                }
                for try await (number, reply) in group { #expect(reply == number * 2) }
            }
        }
    }

    // MARK: Metadata

    @Test(arguments: Place.allCases)
    func metadataGoesBothWays(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("Echo") { (_: Empty, context) in
                context.replyMetadata["tenant"] = context.metadata["tenant"]
                context.replyMetadata.append("many", "one")
                context.replyMetadata.append("many", "two")
                context.replyMetadata[binary: "raw-bin"] = context.metadata[binary: "raw-bin"]
                return Empty()
            }
            service.handle("Refuse") { (_: Empty, context) -> Empty in
                context.replyMetadata["why"] = "because"
                throw MicroError.permissionDenied("refuse", "no")
            }
        } _: { service in
            var metadata: Metadata = ["Tenant": "acme"]
            metadata[binary: "raw-bin"] = [0, 255, 13, 10]
            let response = try await service.client.response(
                "greeter", "Echo", Empty(), as: Empty.self,
                options: CallOptions(metadata: metadata))
            #expect(response.metadata["tenant"] == "acme")
            #expect(response.metadata.values("many") == ["one", "two"])
            #expect(response.metadata[binary: "raw-bin"] == [0, 255, 13, 10])
            let error = try await microError {
                _ = try await service.client.call("greeter", "Refuse", Empty(), as: Empty.self)
            }
            #expect(error.code == .permissionDenied)
        }
    }

    @Test func metadataThatMayNotBeSentIsRefusedBeforeTheCall() async throws {
        try await withGreeter(.simulation) { service in
            service.handle("Echo") { (_: Empty, context) in Empty() }
        } _: { service in
            for metadata: Metadata in [["tenant": "a\r\nb: c"], ["te nant": "a"]] {
                let error = try await microError {
                    _ = try await service.client.call(
                        "greeter", "Echo", Empty(), as: Empty.self,
                        options: CallOptions(metadata: metadata))
                }
                #expect(error.code == .invalidArgument)
            }
            #expect(service.statistics.callsTotal == 0)
        }
    }

    // MARK: Errors

    @Test(arguments: Place.allCases)
    func errorsArriveWhole(place: Place) async throws {
        var random = SeededRandom(seed: 4)
        // "node" is a name that a client must not take for its own.
        let sent =
            [
                MicroError(
                    "orders.create", .conflict, "order 7 exists: Größe ≠ 3\nsecond line",
                    reason: "ORDER_EXISTS", metadata: ["order": "7", "node": "theirs"])
            ] + (0..<50).map { _ in random.error() }
        try await withGreeter(place) { service in
            service.handle("Refuse.Sync") { (index: Int, context) -> Empty in throw sent[index] }
            service.handle("Refuse.Async") { (index: Int, context) async throws -> Empty in
                await Task.yield()
                throw sent[index]
            }
        } _: { service in
            for (index, error) in sent.enumerated() {
                for endpoint in ["Refuse.Sync", "Refuse.Async"] {
                    let received = try await microError {
                        _ = try await service.client.call(
                            "greeter", endpoint, index, as: Empty.self,
                            options: CallOptions(retry: .never))
                    }
                    #expect(received.id == (error.id.isEmpty ? "greeter/\(endpoint)" : error.id))
                    #expect(received.code == error.code)
                    #expect(received.detail == error.detail)
                    #expect(received.reason == error.reason)
                    #expect(received.metadata == error.metadata)
                    #expect(received.wasWritten)
                }
            }
        }
    }

    private struct Secret: Error, CustomStringConvertible {
        var description: String { "the password is 1234" }
    }

    @Test(arguments: Place.allCases)
    func aPlainErrorIsInternalAndItsTextStaysInside(place: Place) async throws {
        let log = LogJournal()
        try await withGreeter(place, log: log) { service in
            service.handle("Sync") { (_: Empty, context) -> Empty in throw Secret() }
            service.handle("Async") { (_: Empty, context) async throws -> Empty in
                await Task.yield()
                throw Secret()
            }
        } _: { service in
            for endpoint in ["Sync", "Async"] {
                let error = try await microError {
                    _ = try await service.client.call(
                        "greeter", endpoint, Empty(), as: Empty.self)
                }
                #expect(error.code == .internal)
                #expect(!"\(error)".contains("1234"))
                #expect(log.contains("error: handler failed", "1234", "endpoint=\(endpoint)"))
            }
        }
    }

    @Test(arguments: Place.allCases)
    func aMessageThatCantBeReadNamesTheField(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("Sync") { (request: Hello, context) in request }
            service.handle("Async") { (request: Hello, context) in
                await Task.yield()
                return request
            }
        } _: { service in
            for endpoint in ["Sync", "Async"] {
                let error = try await microError {
                    _ = try await service.client.call(
                        "greeter", endpoint, ["name": 7], as: Hello.self)
                }
                #expect(error.code == .invalidArgument)
                #expect(error.metadata["field"] == "name")
                let syntax = try await microError {
                    _ = try await service.client.send(
                        ClientRequest(
                            service: "greeter", endpoint: endpoint, body: Array("{".utf8)))
                }
                #expect(syntax.code == .invalidArgument)
                let unknown = try await microError {
                    _ = try await service.client.send(
                        ClientRequest(
                            service: "greeter", endpoint: endpoint,
                            contentType: "application/grpc+xml", body: [0xA0]))
                }
                #expect(unknown.detail.contains("json"))
            }
        }
    }

    @Test(arguments: Place.allCases)
    func aReplyThatCantBeReadIsNotForTryingAgain(place: Place) async throws {
        let calls = Tally()
        try await withGreeter(place) { service in
            service.handle("Number") { (_: Empty, context) -> Int in
                calls.add()
                return 7
            }
        } _: { service in
            let error = try await microError {
                _ = try await service.client.call(
                    "greeter", "Number", Empty(), as: Greeting.self,
                    options: CallOptions(retry: .idempotent(attempts: 5)))
            }
            #expect(error.code == .internal)
            #expect(error.detail.contains("Greeting"))
            #expect(error.detail.contains(service.nodeID))
            #expect(error.wasWritten)
            #expect(!error.isRetryable)
            #expect(calls.value == 1)
        }
    }

    @Test(arguments: Place.allCases)
    func aReplyThatCantBeWrittenIsInternal(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle("NotFinite") { (_: Empty, context) in Double.infinity }
        } _: { service in
            let error = try await microError {
                _ = try await service.client.call("greeter", "NotFinite", Empty(), as: Double.self)
            }
            #expect(error.code == .internal)
        }
    }

    @Test(arguments: Place.allCases)
    func anUnknownEndpointIsUnimplemented(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle(.hello) { request, context in Greeting(message: request.name) }
        } _: { service in
            let error = try await microError {
                _ = try await service.client.call("greeter", "Greeter.Bye", Empty(), as: Empty.self)
            }
            #expect(error.code == .unimplemented)
            #expect(error.detail.contains("/greeter/Greeter.Bye"))
        }
    }

    @Test(arguments: Place.allCases)
    func anUnknownServiceIsNotFoundAndSaysWhereAndWhatThereIs(place: Place) async throws {
        try await withGreeter(place) { _ in
        } _: { service in
            let error = try await microError {
                _ = try await service.client.call(
                    "greter", "Greeter.Hello", Empty(), as: Empty.self)
            }
            #expect(error.code == .notFound)
            #expect(error.detail.contains("greter"))
            #expect(error.detail.contains("the memory register of this process"))
            #expect(error.detail.contains("there are greeter"))
            #expect(!error.wasWritten)
        }
    }

    // MARK: Options

    @Test(arguments: Place.allCases)
    func anAddressIsCalledWithoutDiscovery(place: Place) async throws {
        try await withGreeter(place) { service in
            service.handle(.hello) { request, context in Greeting(message: request.name) }
        } _: { service in
            let address = try #require(service.addresses.first)
            let stranger = makeClient(of: "nobody", at: "memory://nowhere")
            let response = try await stranger.response(
                .hello, Hello(name: "Ada"), options: CallOptions(address: address))
            #expect(response.reply.message == "Ada")
            #expect(response.report.node == address)
            await stranger.close()
        }
    }

    @Test(arguments: ["carrier-pigeon://x", "tcp://", "tcp://127.0.0.1:99999", "memory://"])
    func anAddressThatMakesNoSenseIsAnError(address: String) async throws {
        try await withSimulation {
            let client = makeClient(at: "memory://greeter")
            let error = try await microError {
                _ = try await client.call(
                    .hello, Hello(name: "Ada"), options: CallOptions(address: address))
            }
            #expect(error.detail.contains(address))
            #expect(!error.wasWritten)
            await client.close()
        }
    }

    @Test func aVersionIsChosen() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let services = ["1.0.0", "2.0.0"].map { version in
                let service = makeService(version: version, at: "memory://\(version)", in: register)
                service.handle(.hello) { request, context in Greeting(message: version) }
                return service
            }
            try await running(services[0], services[1]) {
                for version in ["1.0.0", "2.0.0", "1.0.0"] {
                    for _ in 0..<5 {
                        let reply = try await services[0].client.call(
                            .hello, Hello(name: "Ada"), options: CallOptions(version: version))
                        #expect(reply.message == version)
                    }
                }
                let error = try await microError {
                    _ = try await services[0].client.call(
                        .hello, Hello(name: "Ada"), options: CallOptions(version: "3.0.0"))
                }
                #expect(error.code == .unavailable)
                #expect(error.detail.contains("version 3.0.0"))
                #expect(error.detail.contains("version 1.0.0"))
            }
        }
    }

    @Test(arguments: [Selector.random, .roundRobin, .p2c])
    func everySelectorReachesEveryNode(selector: Selector) async throws {
        try await withSimulation {
            let register = MemoryRegister()
            let services = (0..<3).map { number in
                let service = makeService(at: "memory://\(number)", in: register) {
                    $0.client.balancing.selector = selector
                }
                service.handle(.hello) { request, context in Greeting(message: "\(number)") }
                return service
            }
            try await running(services[0], services[1], services[2]) {
                var answers: [String: Int] = [:]
                for _ in 0..<300 {
                    let reply = try await services[0].client.call(.hello, Hello(name: "Ada"))
                    answers[reply.message, default: 0] += 1
                }
                #expect(answers.count == 3)
                if selector == .roundRobin { #expect(answers.values.allSatisfy { $0 == 100 }) }
            }
        }
    }
}
