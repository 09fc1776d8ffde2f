import Testing

@testable import Micro

@Suite struct BoundedChannelTests {
    private actor Log {
        var entries: [String] = []
        func add(_ entry: String) { entries.append(entry) }
    }

    @Test func deliversInOrderAndEnds() async throws {
        let channel = BoundedChannel<Int>(capacity: 10)
        for number in 0..<10 { #expect(channel.offer(number) == .accepted) }
        #expect(channel.offer(10) == .full)
        #expect(channel.count == 10)
        channel.finish()
        channel.finish(throwing: MicroError("test", .internal, "the first end counts"))
        #expect(channel.offer(11) == .finished)
        var received: [Int] = []
        for try await number in channel { received.append(number) }
        #expect(received == Array(0..<10))
        #expect(try await channel.receive() == nil)
        await #expect(throws: MicroError.self) { try await channel.send(12) }
    }

    @Test func aFullChannelSuspendsTheSender() async throws {
        try await withSimulation(seed: 1) {
            let environment = Environment.current
            let channel = BoundedChannel<Int>(capacity: 2)
            let log = Log()
            let sender = environment.spawn {
                for number in 0..<5 {
                    try? await channel.send(number)
                    await log.add("sent \(number)")
                }
            }
            try await environment.clock.sleep(for: .milliseconds(10))
            #expect(await log.entries == ["sent 0", "sent 1"])
            #expect(channel.count == 2)
            #expect(try await channel.receive() == 0)
            try await environment.clock.sleep(for: .milliseconds(10))
            #expect(await log.entries.count == 3)
            #expect(channel.count == 2)
            for number in 1..<5 { #expect(try await channel.receive() == number) }
            await sender.wait()
        }
    }

    @Test func whoWaitsToSendComesFirst() async throws {
        try await withSimulation(seed: 1) {
            let environment = Environment.current
            let channel = BoundedChannel<Int>(capacity: 1)
            try await channel.send(1)
            let sender = environment.spawn { try? await channel.send(2) }
            try await environment.clock.sleep(for: .milliseconds(1))
            #expect(channel.offer(3) == .full)
            #expect(try await channel.receive() == 1)
            #expect(channel.offer(3) == .full)
            #expect(try await channel.receive() == 2)
            #expect(channel.offer(3) == .accepted)
            await sender.wait()
        }
    }

    @Test func aWaitingReceiverGetsIt() async throws {
        try await withSimulation(seed: 1) {
            let environment = Environment.current
            let channel = BoundedChannel<Int>(capacity: 1)
            async let first = channel.receive()
            try await environment.clock.sleep(for: .milliseconds(1))
            await #expect(throws: MicroError.self) { try await channel.receive() }
            try await channel.send(7)
            #expect(try await first == 7)
            async let end = channel.receive()
            try await environment.clock.sleep(for: .milliseconds(1))
            channel.finish(throwing: MicroError("test", .dataLoss, "gone"))
            do {
                _ = try await end
                Issue.record("nothing was thrown")
            } catch {
                #expect(error as? MicroError == MicroError("test", .dataLoss, "gone"))
            }
        }
    }

    @Test func cancellationTakesOutOnlyOne() async throws {
        try await withSimulation(seed: 1) {
            let environment = Environment.current
            let channel = BoundedChannel<Int>(capacity: 1)
            let log = Log()
            let receiver = environment.spawn {
                do {
                    _ = try await channel.receive()
                } catch is CancellationError {
                    await log.add("receiver")
                } catch {}
            }
            try await environment.clock.sleep(for: .milliseconds(1))
            receiver.cancel()
            await receiver.wait()
            try await channel.send(1)
            let senders = [2, 3].map { number in
                environment.spawn {
                    do {
                        try await channel.send(number)
                    } catch is CancellationError {
                        await log.add("sender \(number)")
                    } catch {}
                }
            }
            try await environment.clock.sleep(for: .milliseconds(1))
            senders[0].cancel()
            await senders[0].wait()
            #expect(await log.entries == ["receiver", "sender 2"])
            #expect(try await channel.receive() == 1)
            #expect(try await channel.receive() == 3)
            await senders[1].wait()
        }
    }

    @Test func finishingFailsWhoWaitsToSend() async throws {
        try await withSimulation(seed: 1) {
            let environment = Environment.current
            let channel = BoundedChannel<Int>(capacity: 1)
            try await channel.send(1)
            let log = Log()
            let sender = environment.spawn {
                do {
                    try await channel.send(2)
                } catch let error as MicroError {
                    await log.add(error.code.name)
                } catch {}
            }
            try await environment.clock.sleep(for: .milliseconds(1))
            channel.finish()
            await sender.wait()
            #expect(await log.entries == ["UNAVAILABLE"])
            #expect(try await channel.receive() == 1)
            #expect(try await channel.receive() == nil)
        }
    }

    @Test func dropsTheOldest() async throws {
        let channel = BoundedChannel<Int>(capacity: 2)
        #expect(channel.replaceOldest(with: 1) == nil)
        #expect(channel.replaceOldest(with: 2) == nil)
        #expect(channel.replaceOldest(with: 3) == 1)
        channel.finish()
        #expect(channel.replaceOldest(with: 4) == 4)
        #expect(try await channel.receive() == 2)
        channel.abandon()
        #expect(try await channel.receive() == nil)
    }

    /// On real threads: nothing is lost or doubled, and each sender's elements stay in order.
    @Test(.timeLimit(.minutes(1))) func manySendersOnThreads() async throws {
        let channel = BoundedChannel<(sender: Int, number: Int)>(capacity: 16)
        let senders = 8
        let count = 2_000
        try await withThrowingTaskGroup(of: Void.self) { group in
            for sender in 0..<senders {
                group.addTask {
                    for number in 0..<count { try await channel.send((sender, number)) }
                }
            }
            var next = Array(repeating: 0, count: senders)
            for _ in 0..<(senders * count) {
                let element = try #require(try await channel.receive())
                #expect(element.number == next[element.sender])
                next[element.sender] += 1
            }
            try await group.waitForAll()
            #expect(channel.count == 0)
        }
    }
}
