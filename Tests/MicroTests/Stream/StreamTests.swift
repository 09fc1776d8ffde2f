import Testing

@testable import Micro

/// Streams from a client to a service and back, in a simulation and over sockets.
@Suite(.timeLimit(.minutes(10)))
struct StreamTests {
    // MARK: The kinds

    @Test(arguments: Place.allCases)
    func everyKindDeliversAllInOrder(place: Place) async throws {
        try await withService(place) { service in
            service.stream("Count") { (upTo: Int, context, out: Outbound<Int>) in
                for n in 0..<upTo { try await out.send(n) }
            }
            service.collect("Sum") { (numbers: Inbound<Int>, context) in
                var sum = 0
                for try await n in numbers { sum += n }
                return sum
            }
            service.exchange("Double") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                for try await n in numbers { try await out.send(2 * n) }
            }
        } _: { client in
            var counted: [Int] = []
            for try await n in try await client.stream("s", "Count", 1000, as: Int.self) {
                counted.append(n)
            }
            #expect(counted == Array(0..<1000))
            let sum: Int = try await client.collect("s", "Sum") { (out: Outbound<Int>) in
                for n in 1...1000 { try await out.send(n) }
            }
            #expect(sum == 500_500)
            let doubled = try await client.exchange("s", "Double") {
                (out: Outbound<Int>, replies: Inbound<Int>) in
                var doubled: [Int] = []
                var iterator = replies.makeAsyncIterator()
                for n in 0..<100 {
                    try await out.send(n)
                    if let reply = try await iterator.next() { doubled.append(reply) }
                }
                try await out.finish()
                #expect(try await iterator.next() == nil)
                return doubled
            }
            #expect(doubled == (0..<100).map { 2 * $0 })
        }
    }

    @Test(arguments: Place.allCases)
    func noMessagesAreAStreamToo(place: Place) async throws {
        try await withService(place) { service in
            service.stream("Count") { (upTo: Int, context, out: Outbound<Int>) in }
            service.collect("Sum") { (numbers: Inbound<Int>, context) in
                var sum = 0
                for try await n in numbers { sum += n }
                return sum
            }
            service.exchange("Echo") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                for try await n in numbers { try await out.send(n) }
            }
        } _: { client in
            for try await _ in try await client.stream("s", "Count", 0, as: Int.self) {
                Issue.record("a message out of nothing")
            }
            let sum: Int = try await client.collect("s", "Sum") { (out: Outbound<Int>) in }
            #expect(sum == 0)
            try await client.exchange("s", "Echo") { (out: Outbound<Int>, _: Inbound<Int>) in }
        }
    }

    @Test(arguments: Place.allCases)
    func typedEndpoints(place: Place) async throws {
        let numbers = Endpoint<Int, Int>("s", "Numbers")
        let sums = Endpoint<Int, Int>("s", "Sums")
        let echoes = Endpoint<Int, Int>("s", "Echoes")
        try await withService(place) { service in
            service.stream(numbers) { upTo, context, out in
                for n in 0..<upTo { try await out.send(n) }
            }
            service.collect(sums) { numbers, context in
                var sum = 0
                for try await n in numbers { sum += n }
                return sum
            }
            service.exchange(echoes) { numbers, context, out in
                for try await n in numbers { try await out.send(n) }
            }
        } _: { client in
            var counted = 0
            for try await n in try await client.stream(numbers, 5) { counted += n }
            #expect(counted == 10)
            #expect(try await client.collect(sums) { out in try await out.send(7) } == 7)
            let first = try await client.exchange(echoes) { out, replies in
                try await out.send(3)
                for try await reply in replies { return reply }
                return 0
            }
            #expect(first == 3)
        }
    }

    /// The reply has another codec than the request when its type needs one.
    @Test(arguments: Place.allCases)
    func repliesMayNeedAnotherCodec(place: Place) async throws {
        try await withService(place) { service in
            service.stream("Split") { (text: String, context, out: Outbound<Greeting>) in
                for word in text.split(separator: " ") {
                    try await out.send(Greeting(message: String(word)))
                }
            }
        } _: { client in
            var words: [String] = []
            let replies = try await client.stream(
                "s", "Split", "one two", as: Greeting.self,
                options: CallOptions(contentType: "text/plain"))
            for try await word in replies { words.append(word.message) }
            #expect(words == ["one", "two"])
        }
    }

    @Test(arguments: Place.allCases)
    func messagesLargerThanTheWindowPass(place: Place) async throws {
        try await withService(place) { service in
            service.exchange("Echo") {
                (blocks: Inbound<[UInt8]>, context, out: Outbound<[UInt8]>) in
                for try await block in blocks { try await out.send(block) }
            }
        } _: { client in
            let block = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            try await client.exchange("s", "Echo") {
                (out: Outbound<[UInt8]>, replies: Inbound<[UInt8]>) in
                var iterator = replies.makeAsyncIterator()
                for _ in 0..<3 {
                    try await out.send(block)
                    #expect(try await iterator.next() == block)
                }
            }
        }
    }

    // MARK: Backpressure

    /// The writer of replies stops when nobody reads them, and goes on when somebody does.
    @Test func aSlowReaderStopsTheWriter() async throws {
        let sent = Journal<Int>()
        try await withService(.simulation) { service in
            service.stream("Blocks") { (count: [UInt8], context, out: Outbound<[UInt8]>) in
                for n in 0..<Int(count[0]) {
                    try await out.send([UInt8](repeating: 7, count: 64 << 10))
                    sent.write(n)
                }
            }
        } _: { client in
            let clock = Environment.current.clock
            let replies = try await client.stream(
                "s", "Blocks", [100] as [UInt8], as: [UInt8].self)
            var iterator = replies.makeAsyncIterator()
            _ = try await iterator.next()
            try await clock.sleep(for: .seconds(60))
            let stalled = sent.entries.count
            // The window, what is queued for it, and one message taken ahead.
            #expect(stalled < 20)
            try await clock.sleep(for: .seconds(60))
            #expect(sent.entries.count == stalled)
            var count = 1
            while try await iterator.next() != nil { count += 1 }
            #expect(count == 100)
            #expect(sent.entries.count == 100)
        }
    }

    /// The same in the other direction.
    @Test func aSlowHandlerStopsTheCaller() async throws {
        let sent = Journal<Int>()
        try await withService(.simulation) { service in
            service.collect("Blocks") { (blocks: Inbound<[UInt8]>, context) in
                var iterator = blocks.makeAsyncIterator()
                _ = try await iterator.next()
                try await context.clock.sleep(for: .seconds(120))
                let stalled = sent.entries.count
                var count = 1
                while try await iterator.next() != nil { count += 1 }
                return [stalled, count]
            }
        } _: { client in
            let result: [Int] = try await client.collect("s", "Blocks") {
                (out: Outbound<[UInt8]>) in
                for n in 0..<100 {
                    try await out.send([UInt8](repeating: 7, count: 64 << 10))
                    sent.write(n)
                }
            }
            #expect(result[0] < 20)
            #expect(result[1] == 100)
        }
    }

    /// A stream that stands still does not hold up the other calls of its connection.
    @Test func aStalledStreamDisturbsNobody() async throws {
        try await withService(.simulation) { service in
            service.stream("Blocks") { (count: Int, context, out: Outbound<[UInt8]>) in
                for _ in 0..<count { try await out.send([UInt8](repeating: 7, count: 64 << 10)) }
            }
            service.handle("Ping") { (n: Int, context) in n + 1 }
        } _: { client in
            let stalled = try await client.stream("s", "Blocks", 1000, as: [UInt8].self)
            var iterator = stalled.makeAsyncIterator()
            _ = try await iterator.next()
            for n in 0..<100 {
                #expect(try await client.call("s", "Ping", n, as: Int.self) == n + 1)
            }
            _ = try await iterator.next()
        }
    }

    // MARK: Ends

    @Test(arguments: Place.allCases)
    func anErrorComesBehindTheMessages(place: Place) async throws {
        try await withService(place) { service in
            service.stream("Fail") { (count: Int, context, out: Outbound<Int>) in
                for n in 0..<count { try await out.send(n) }
                throw MicroError(
                    "s.fail", .dataLoss, "no more", reason: "GONE", metadata: ["at": "\(count)"])
            }
        } _: { client in
            for count in [0, 1, 50] {
                var received = 0
                let error = try await microError {
                    for try await n in try await client.stream("s", "Fail", count, as: Int.self) {
                        #expect(n == received)
                        received += 1
                    }
                }
                #expect(received == count)
                #expect(error.code == .dataLoss)
                #expect(error.id == "s.fail")
                #expect(error.reason == "GONE")
                #expect(error.metadata["at"] == "\(count)")
            }
        }
    }

    /// Whoever leaves the loop has ended the stream: the handler is cancelled, its place is free.
    @Test(arguments: Place.allCases)
    func leavingTheLoopCancelsTheHandler(place: Place) async throws {
        let ended = Journal<String>()
        try await withService(place) { service in
            service.stream("Forever") { (_: Empty, context, out: Outbound<Int>) in
                defer { ended.write(Task.isCancelled ? "cancelled" : "running") }
                for n in 0... { try await out.send(n) }
            }
        } _: { client, service in
            for try await n in try await client.stream("s", "Forever", Empty(), as: Int.self)
            where n == 10 { break }
            try await soon("the handler is cancelled") { ended.entries == ["cancelled"] }
            try await soon("its place is free") { service.statistics.calls == 0 }
        }
    }

    @Test(arguments: Place.allCases)
    func cancellingTheTaskCancelsTheHandler(place: Place) async throws {
        let (started, ended) = (Journal<Int>(), Journal<String>())
        try await withService(place) { service in
            service.exchange("Wait") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                started.write(1)
                defer { ended.write(Task.isCancelled ? "cancelled" : "running") }
                for try await _ in numbers {}
            }
        } _: { client, service in
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await client.exchange("s", "Wait") {
                        (out: Outbound<Int>, replies: Inbound<Int>) in
                        for try await _ in replies {}
                    }
                }
                try? await soon("the handler runs") { started.count == 1 }
                group.cancelAll()
                await #expect(throws: (any Error).self) { try await group.waitForAll() }
            }
            try await soon("the handler is cancelled") { ended.entries == ["cancelled"] }
            try await soon("its place is free") { service.statistics.calls == 0 }
        }
    }

    /// The place of a handler is taken until it has ended, also when it does not care.
    @Test func aHandlerThatIgnoresCancellationKeepsItsPlace() async throws {
        try await withService(.simulation) { service in
            service.stream("Stubborn") { (_: Empty, context, out: Outbound<Int>) in
                try await out.send(1)
                let end = context.clock.now.advanced(by: .seconds(10))
                while context.clock.now < end {
                    try? await Environment.current.clock.sleep(for: .seconds(1))
                    await Task.yield()
                    if Task.isCancelled { await sleepRegardless(until: end) }
                }
                await #expect(throws: (any Error).self) { try await out.send(2) }
            }
        } _: { client, service in
            for try await _ in try await client.stream("s", "Stubborn", Empty(), as: Int.self) {
                break
            }
            let clock = Environment.current.clock
            try await clock.sleep(for: .seconds(2))
            #expect(service.statistics.calls == 1)
            try await clock.sleep(for: .seconds(20))
            #expect(service.statistics.calls == 0)
        }
    }

    @Test(arguments: Place.allCases)
    func aDeadlineEndsBothSides(place: Place) async throws {
        let (begun, ended) = (Journal<Bool>(), Journal<Bool>())
        try await withService(place) { service in
            service.stream("Forever") { (_: Empty, context, out: Outbound<Int>) in
                begun.write(true)
                defer { ended.write(Task.isCancelled) }
                #expect(context.deadline != nil)
                try await out.send(1)
                try await context.clock.sleep(for: .seconds(3600))
            }
        } _: { client, service in
            var received = 0
            let error = try await microError {
                let options = CallOptions(timeout: .milliseconds(300))
                for try await _ in try await client.stream(
                    "s", "Forever", Empty(), as: Int.self, options: options)
                { received += 1 }
            }
            #expect(error.code == .deadlineExceeded)
            // On a busy machine the deadline may come first, also before the handler begins.
            if place == .simulation { #expect(received == 1 && begun.entries == [true]) }
            try await soon("the handler is cancelled") { ended.entries == begun.entries }
            try await soon("its place is free") { service.statistics.calls == 0 }
        }
    }

    @Test(arguments: Place.allCases)
    func theDeadlineIsInheritedWithAMargin(place: Place) async throws {
        try await withService(place) { service in
            service.stream("Inner") { (_: Empty, context, out: Outbound<Double>) in
                let left = try #require(context.timeRemaining)
                try await out.send(left / .seconds(1))
            }
            service.handle("Outer") { (_: Empty, context) in
                let own = try #require(context.timeRemaining) / .seconds(1)
                for try await inner in try await context.client.stream(
                    "s", "Inner", Empty(), as: Double.self)
                { return [own, inner] }
                return []
            }
        } _: { client in
            let left: [Double] = try await client.call(
                "s", "Outer", Empty(), options: CallOptions(timeout: .seconds(60)))
            try #require(left.count == 2)
            #expect(left[0] <= 60)
            #expect(left[1] < left[0] - 0.001)
            #expect(left[1] > 30)
        }
    }

    /// The reply may come before all was sent; what is sent after that is refused, and it counts.
    @Test(arguments: Place.allCases)
    func anEarlyReplyCounts(place: Place) async throws {
        try await withService(place) { service in
            service.collect("First") { (numbers: Inbound<Int>, context) in
                for try await n in numbers { return n }
                return -1
            }
        } _: { client in
            let first: Int = try await client.collect("s", "First") { (out: Outbound<Int>) in
                for n in 7... { try await out.send(n) }
            }
            #expect(first == 7)
        }
    }

    @Test(arguments: Place.allCases)
    func afterFinishNothingIsSent(place: Place) async throws {
        try await withService(place) { service in
            service.exchange("Count") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                var count = 0
                for try await _ in numbers { count += 1 }
                // Half-closed: replies go on.
                try await out.send(count)
            }
        } _: { client in
            let count = try await client.exchange("s", "Count") {
                (out: Outbound<Int>, replies: Inbound<Int>) in
                try await out.send(1)
                try await out.send(2)
                try await out.finish()
                try await out.finish()
                let error = try await microError { try await out.send(3) }
                #expect(error.code == .failedPrecondition)
                for try await count in replies { return count }
                return 0
            }
            #expect(count == 2)
        }
    }

    @Test(arguments: Place.allCases)
    func whatIsSentIsProcessedWhenTheBodyReturns(place: Place) async throws {
        let received = Journal<Int>()
        try await withService(place) { service in
            service.exchange("Take") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                for try await n in numbers { received.write(n) }
            }
        } _: { client in
            try await client.exchange("s", "Take") { (out: Outbound<Int>, _: Inbound<Int>) in
                for n in 0..<10 { try await out.send(n) }
            }
            #expect(received.entries == Array(0..<10))
        }
    }

    // MARK: Trouble

    @Test(arguments: Place.allCases)
    func aMessageThatCannotBeReadIsRefused(place: Place) async throws {
        try await withService(place) { service in
            service.collect("Sum") { (numbers: Inbound<Int>, context) in
                var sum = 0
                for try await n in numbers { sum += n }
                return sum
            }
            service.stream("Texts") { (_: Empty, context, out: Outbound<Greeting>) in
                try await out.send(Greeting(message: "hello"))
            }
        } _: { client in
            let error = try await microError {
                let _: Int = try await client.collect("s", "Sum") { (out: Outbound<Greeting>) in
                    try await out.send(Greeting(message: "seven"))
                }
            }
            #expect(error.code == .invalidArgument)
            let unreadable = try await microError {
                for try await _ in try await client.stream("s", "Texts", Empty(), as: Int.self) {}
            }
            #expect(unreadable.code == .internal)
            #expect(unreadable.detail.contains("Int"))
        }
    }

    @Test(arguments: Place.allCases)
    func aMessageBeyondTheLimitIsRefused(place: Place) async throws {
        try await withService(place) { service in
            service.exchange("Echo") {
                (blocks: Inbound<[UInt8]>, context, out: Outbound<[UInt8]>) in
                for try await block in blocks { try await out.send(block) }
            }
            // Bytes ask for it, so that bytes answer: as JSON so many of them keep a loop busy.
            service.stream("Large") { (mebibytes: [UInt8], context, out: Outbound<[UInt8]>) in
                try await out.send([UInt8](repeating: 1, count: Int(mebibytes[0]) << 20))
            }
        } _: { client in
            let error = try await microError {
                try await client.exchange("s", "Echo") {
                    (out: Outbound<[UInt8]>, replies: Inbound<[UInt8]>) in
                    try await out.send([UInt8](repeating: 1, count: 5 << 20))
                    for try await _ in replies {}
                }
            }
            #expect(error.code == .resourceExhausted)
            let large = try await microError {
                for try await _ in try await client.stream(
                    "s", "Large", [5] as [UInt8], as: [UInt8].self)
                {}
            }
            #expect(large.code == .resourceExhausted)
        }
    }

    @Test func twoConsumersAtOnceAreAMistake() async throws {
        try await withService(.simulation) { service in
            service.exchange("Wait") { (numbers: Inbound<Int>, context, out: Outbound<Int>) in
                for try await _ in numbers {}
            }
        } _: { client in
            try await client.exchange("s", "Wait") {
                (out: Outbound<Int>, replies: Inbound<Int>) in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { for try await _ in replies {} }
                    try await Environment.current.clock.sleep(for: .seconds(1))
                    let error = try await microError { for try await _ in replies {} }
                    #expect(error.code == .failedPrecondition)
                    try await out.finish()
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test(arguments: Place.allCases)
    func anUnknownEndpointIsUnimplemented(place: Place) async throws {
        try await withService(place) { service in
            service.handle("Ping") { (n: Int, context) in n }
        } _: { client in
            let error = try await microError {
                for try await _ in try await client.stream("s", "Nothing", 1, as: Int.self) {}
            }
            #expect(error.code == .unimplemented)
            let collected = try await microError {
                let _: Int = try await client.collect("s", "Nothing") { (out: Outbound<Int>) in
                    try await out.send(1)
                }
            }
            #expect(collected.code == .unimplemented)
        }
    }
}

/// Serves "s" and hands out its client.
func withService(
    _ place: Place, _ configure: @escaping @Sendable (MicroService) -> Void,
    _ body: @escaping @Sendable (Client, MicroService) async throws -> Void
) async throws {
    try await place.run {
        let service = makeService("s", at: place.address("s"))
        configure(service)
        try await running(service) { try await body(service.client, service) }
    }
}

func withService(
    _ place: Place, _ configure: @escaping @Sendable (MicroService) -> Void,
    _ body: @escaping @Sendable (Client) async throws -> Void
) async throws {
    try await withService(place, configure) { client, _ in try await body(client) }
}

/// Waits, on the clock of the place, for something that is about to happen.
func soon(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: @Sendable () -> Bool
) async throws {
    let clock = Environment.current.clock
    let limit = clock.now.advanced(by: .seconds(60))
    while !condition() {
        guard clock.now < limit else {
            Issue.record("in 60 seconds it did not happen: \(what)", sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await clock.sleep(for: .milliseconds(2))
    }
}

/// Sleeps also when the task is cancelled.
private func sleepRegardless(until end: EventLoopClock.Instant) async {
    let environment = Environment.current
    await environment.spawn { try? await environment.clock.sleep(until: end) }.wait()
}
