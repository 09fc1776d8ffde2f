internal import Micro

extension InteropCase {
    static let streaming = [
        InteropCase("client_streaming") { server in
            let reply = try await server.service.streamingInputCall { out in
                for size in [27_182, 8, 1_828, 45_904] { try await out.send(.init(sending: size)) }
            }
            try expectEqual(reply.aggregatedPayloadSize, 74_922, "the sum of the sizes")
        },
        InteropCase("server_streaming") { server in
            let sizes = [31_415, 9, 2_653, 58_979]
            var count = 0
            for try await reply in try await server.service.streamingOutputCall(
                .init(replies: sizes))
            {
                try expect(count < sizes.count, "more than \(sizes.count) replies")
                try reply.payload.expectZeros(sizes[count])
                count += 1
            }
            try expectEqual(count, sizes.count, "the number of replies")
        },
        InteropCase("ping_pong") { server in
            try await server.service.fullDuplexCall { out, incoming in
                var replies = incoming.makeAsyncIterator()
                for (sent, asked) in [(27_182, 31_415), (8, 9), (1_828, 2_653), (45_904, 58_979)] {
                    try await out.send(.init(sending: sent, replies: [asked]))
                    guard let reply = try await replies.next() else {
                        throw Unexpected("the replies ended before the requests")
                    }
                    try reply.payload.expectZeros(asked)
                }
                try await out.finish()
                try expect(try await replies.next() == nil, "a reply that nothing asked for")
            }
        },
        InteropCase("empty_stream") { server in
            try await server.service.fullDuplexCall { out, incoming in
                try await out.finish()
                for try await _ in incoming { throw Unexpected("a reply to nothing") }
            }
        },
    ]

    /// Calls that end before their time.
    static let endings = [
        InteropCase("cancel_after_begin") { server in
            try await expectFailure(.cancelled) {
                try await withCancellation { cancel in
                    _ = try await server.service.streamingInputCall { _ in
                        cancel()
                        try await Task.sleep(for: .seconds(30))
                        throw Unexpected("the call went on although it was cancelled")
                    }
                }
            }
        },
        InteropCase("cancel_after_first_response") { server in
            try await expectFailure(.cancelled) {
                try await withCancellation { cancel in
                    try await server.service.fullDuplexCall { out, incoming in
                        try await out.send(.init(sending: 27_182, replies: [31_415]))
                        var replies = incoming.makeAsyncIterator()
                        guard let reply = try await replies.next() else {
                            throw Unexpected("no reply")
                        }
                        try reply.payload.expectZeros(31_415)
                        cancel()
                        _ = try await replies.next()
                        throw Unexpected("the call went on although it was cancelled")
                    }
                }
            }
        },
        InteropCase("timeout_on_sleeping_server") { server in
            let options = server.options { $0.timeout = .milliseconds(1) }
            try await expectFailure(.deadlineExceeded) {
                try await server.service.fullDuplexCall(options: options) { out, incoming in
                    try await out.send(.init(sending: 27_182, replies: []))
                    for try await _ in incoming { throw Unexpected("a reply to nothing") }
                }
            }
        },
    ]

    /// Runs `call` in a task that is cancelled as soon as it calls what it is given.
    private static func withCancellation(
        _ call: @escaping @Sendable (_ cancel: @escaping @Sendable () -> Void) async throws -> Void
    ) async throws {
        let (signals, signal) = AsyncStream.makeStream(of: Never.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { signal.finish() }
                try await call { signal.finish() }
            }
            for await _ in signals {}
            group.cancelAll()
            try await group.waitForAll()
        }
    }
}
