import Testing

@testable import Micro

/// What goes along with the messages of a stream: metadata, compression, hooks.
@Suite(.timeLimit(.minutes(10)))
struct StreamMetadataTests {
    @Test(arguments: Place.allCases)
    func metadataComesBeforeAndTrailersBehind(place: Place) async throws {
        try await withService(place) { service in
            service.exchange("Echo") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                #expect(try await numbers.metadata()["tenant"] == "acme")
                context.replyMetadata["x-first"] = context.metadata["tenant"]
                context.replyTrailers.append("x-last-bin", bytes: [0, 255])
                for try await n in numbers { try await out.send(n) }
            }
            service.handle("Unary") { (n: Int, context) in
                context.replyMetadata["x-first"] = "1"
                context.replyTrailers["x-last"] = "2"
                return n
            }
        } _: { client in
            let options = CallOptions(metadata: ["tenant": "acme"])
            try await client.exchange("s", "Echo", options: options) {
                (out: Outbound<Int>, replies: Inbound<Int>) in
                try await out.send(1)
                let headers = try await replies.metadata()
                #expect(headers["x-first"] == "acme")
                #expect(headers.values(binary: "x-last-bin").isEmpty)
                #expect(replies.trailers.isEmpty)
                try await out.finish()
                for try await n in replies { #expect(n == 1) }
                #expect(replies.trailers.values(binary: "x-last-bin") == [[0, 255]])
                #expect(replies.trailers["x-first"] == nil)
            }
            let response = try await client.response("s", "Unary", 7, as: Int.self)
            #expect(response.metadata["x-first"] == "1")
            #expect(response.metadata["x-last"] == nil)
            #expect(response.trailers["x-last"] == "2")
            #expect(response.trailers["x-first"] == nil)
        }
    }

    /// A caller may wait for the metadata before it sends anything.
    @Test(arguments: Place.allCases)
    func metadataCanBeSentAlone(place: Place) async throws {
        try await withService(place) { service in
            service.exchange("Greet") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                context.replyMetadata["x-hello"] = "1"
                try await out.sendMetadata()
                for try await n in numbers { try await out.send(n) }
            }
        } _: { client in
            try await client.exchange("s", "Greet") {
                (out: Outbound<Int>, replies: Inbound<Int>) in
                #expect(try await replies.metadata()["x-hello"] == "1")
                try await out.sendMetadata()
                try await out.send(5)
                try await out.finish()
                for try await n in replies { #expect(n == 5) }
            }
        }
    }

    /// What is set when the headers have gone is not lost.
    @Test(arguments: Place.allCases)
    func lateMetadataBecomesATrailer(place: Place) async throws {
        try await withService(place) { service in
            service.stream("Late") { (_: Empty, context, out: Outbound<Int>) in
                try await out.send(1)
                context.replyMetadata["x-late"] = "1"
            }
        } _: { client in
            let replies = try await client.stream("s", "Late", Empty(), as: Int.self)
            for try await _ in replies {}
            #expect(replies.trailers["x-late"] == "1")
        }
    }

    @Test(arguments: Place.allCases)
    func anErrorBeforeTheFirstReplyHasNoHeaders(place: Place) async throws {
        try await withService(place) { service in
            service.stream("Fail") { (_: Empty, context, out: Outbound<Int>) in
                throw MicroError.notFound("s.fail", "nothing")
            }
        } _: { client in
            let replies = try await client.stream("s", "Fail", Empty(), as: Int.self)
            let error = try await microError { _ = try await replies.metadata() }
            #expect(error.code == .notFound)
        }
    }

    // MARK: Compression

    @Test(arguments: Place.allCases)
    func messagesAreCompressedWhereThatIsAskedFor(place: Place) async throws {
        try await withService(place) { service in
            service.handle("Unary") { (text: String, context) in
                context.compression = .gzip(from: 0)
                return context.requestWasCompressed ? "compressed \(text.count)" : "plain"
            }
            service.exchange("Mixed") {
                (texts: Inbound<String>, context, out: Outbound<String>) in
                for try await text in texts {
                    try await out.send(
                        text, compression: texts.wasCompressed ? .off : .gzip(from: 0))
                }
            }
        } _: { client in
            let long = String(repeating: "a", count: 10_000)
            let gzip = CallOptions(compression: .gzip())
            let compressed = try await client.response(
                "s", "Unary", long, as: String.self, options: gzip)
            #expect(compressed.reply == "compressed 10000")
            #expect(compressed.wasCompressed)
            // Too small for it.
            #expect(
                try await client.call("s", "Unary", "a", as: String.self, options: gzip) == "plain")
            try await client.exchange("s", "Mixed", options: gzip) {
                (out: Outbound<String>, replies: Inbound<String>) in
                var iterator = replies.makeAsyncIterator()
                try await out.send(long)
                #expect(try await iterator.next() == long)
                #expect(!replies.wasCompressed)
                try await out.send(long, compression: .off)
                #expect(try await iterator.next() == long)
                #expect(replies.wasCompressed)
            }
        }
    }

    @Test(arguments: Place.allCases)
    func theServersOptionsCompressAnswers(place: Place) async throws {
        try await place.run {
            let service = makeService("s", at: place.address("s")) {
                $0.server.compression = .gzip(from: 100)
            }
            service.handle("Repeat") { (count: Int, context) in
                String(repeating: "x", count: count)
            }
            try await running(service) {
                let client = service.client
                let long = try await client.response("s", "Repeat", 100_000, as: String.self)
                #expect(long.reply.count == 100_000)
                #expect(long.wasCompressed)
                let short = try await client.response("s", "Repeat", 3, as: String.self)
                #expect(!short.wasCompressed)
            }
        }
    }

    // MARK: Hooks

    @Test(arguments: Place.allCases)
    func hooksSurroundAStream(place: Place) async throws {
        let seen = Journal<String>()
        try await place.run {
            let service = makeService("s", at: place.address("s")) { options in
                options.clientHooks = [
                    { request, next in
                        seen.write("client \(request.kind) begins")
                        var request = request
                        request.options.metadata["x-hook"] = "1"
                        let response = try await next(request)
                        seen.write("client ends \(response.trailers["x-end"] ?? "")")
                        return response
                    }
                ]
            }
            service.hook { context, next in
                seen.write("server begins \(context.metadata["x-hook"] ?? "")")
                try await next(context)
                context.replyTrailers["x-end"] = "done"
                seen.write("server ends")
            }
            service.stream("Count") { (upTo: Int, context, out: Outbound<Int>) in
                for n in 0..<upTo { try await out.send(n) }
            }
            try await running(service) {
                var sum = 0
                for try await n in try await service.client.stream("s", "Count", 4, as: Int.self) {
                    sum += n
                }
                #expect(sum == 6)
                try await soon("the hooks end") { seen.count == 4 }
            }
        }
        #expect(
            seen.entries == [
                "client stream begins", "server begins 1", "server ends", "client ends done",
            ])
    }

    @Test(arguments: Place.allCases)
    func aHookMayRefuseAStream(place: Place) async throws {
        try await withService(place) { service in
            service.hook { context, next in
                guard context.metadata["token"] == "secret" else {
                    throw MicroError("s.auth", .unauthenticated, "send a token")
                }
                try await next(context)
            }
            service.collect("Sum") { (numbers: Inbound<Int>, context) in
                var sum = 0
                for try await n in numbers { sum += n }
                return sum
            }
        } _: { client in
            let error = try await microError {
                let _: Int = try await client.collect("s", "Sum") { (out: Outbound<Int>) in
                    for n in 0... { try await out.send(n) }
                }
            }
            #expect(error.code == .unauthenticated)
            let sum: Int = try await client.collect(
                "s", "Sum", options: CallOptions(metadata: ["token": "secret"])
            ) { (out: Outbound<Int>) in try await out.send(2) }
            #expect(sum == 2)
        }
    }
}
