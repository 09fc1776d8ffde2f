import Micro
import Synchronization

/// What has been done so far.
final class Tally: Sendable {
    let calls = Atomic<Int>(0)
    let aborted = Atomic<Int>(0)
    let messages = Atomic<Int>(0)
    let failures = Atomic<Int>(0)
}

extension Rig {
    /// One call.
    func call(_ tally: Tally) async throws {
        let reply: [UInt8] = try await client.call("soak", "Soak.Echo", [UInt8](1...32))
        guard reply.count == 32 else { throw MicroError.internalError("soak", "a wrong echo") }
        tally.calls.add(1, ordering: .relaxed)
    }

    /// A stream that is left in its middle.
    func abort(_ tally: Tally) async throws {
        var count = 0
        for try await _ in try await client.stream(
            "soak", "Soak.Stream", Array("1000000".utf8), as: [UInt8].self)
        {
            count += 1
            if count == 10 { break }
        }
        tally.aborted.add(1, ordering: .relaxed)
    }

    /// Messages to and fro, one at a time.
    func pingPong(_ rounds: Int, _ tally: Tally) async throws {
        try await client.exchange("soak", "Soak.Exchange") {
            (out: Outbound<[UInt8]>, replies: Inbound<[UInt8]>) in
            var iterator = replies.makeAsyncIterator()
            let message = [UInt8](repeating: 7, count: 32)
            for _ in 0..<rounds {
                try await out.send(message)
                guard try await iterator.next()?.count == 32 else {
                    throw MicroError.internalError("soak", "a wrong echo")
                }
                tally.messages.add(1, ordering: .relaxed)
            }
            try await out.finish()
        }
    }

    /// All messages of one stream.
    func readStream(of count: Int, _ tally: Tally) async throws {
        for try await _ in try await client.stream(
            "soak", "Soak.Stream", Array("\(count)".utf8), as: [UInt8].self)
        {
            tally.messages.add(1, ordering: .relaxed)
        }
    }

    /// Does `work` `count` times, `width` at a time.
    func repeated(
        _ count: Int, width: Int, _ work: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<width {
                let share = count / width + (worker < count % width ? 1 : 0)
                group.addTask { for _ in 0..<share { try await work() } }
            }
            try await group.waitForAll()
        }
    }
}
