import Dispatch
import Synchronization
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct EventLoopTests {
    private struct Refused: Error {}

    // MARK: Executor

    @Test func tasksRunOnTheirLoopAlsoAfterSuspending() async throws {
        let loops = try EventLoops(count: 2)
        defer { loops.stop() }
        for loop in loops.workers + [loops.control] {
            let places = Journal<Int?>()
            await Environment(loops: loops).spawn(on: loop) {
                places.write(EventLoop.current?.index)
                await Task.yield()
                places.write(EventLoop.current?.index)
                try? await Environment(loops: loops).clock.sleep(for: .milliseconds(1))
                places.write(EventLoop.current?.index)
            }.wait()
            #expect(places.entries == [loop.index, loop.index, loop.index])
        }
    }

    @Test func childTasksRunOnTheLoopOfTheirParent() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let places = Journal<Int?>()
        await Environment(loops: loops).spawn(on: loops.workers[0]) {
            async let child: Void = places.write(EventLoop.current?.index)
            await child
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<10 { group.addTask { places.write(EventLoop.current?.index) } }
            }
        }.wait()
        #expect(places.entries == Array(repeating: 0, count: 11))
    }

    private actor Counter {
        private(set) var value = 0
        private(set) var places: [Int?] = []
        func add() {
            value += 1
            places.append(EventLoop.current?.index)
        }
    }

    @Test func actorsRunOnTheLoopAndTheTaskComesBackFromElsewhere() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let counter = Counter()
        let places = Journal<Int?>()
        await Environment(loops: loops).spawn(on: loops.workers[0]) {
            await counter.add()
            places.write(EventLoop.current?.index)
            // The main actor has an executor of its own.
            await MainActor.run { places.write(EventLoop.current?.index) }
            places.write(EventLoop.current?.index)
        }.wait()
        #expect(await counter.value == 1)
        #expect(await counter.places == [0])
        #expect(places.entries == [0, nil, 0])
    }

    // MARK: Jobs

    @Test func runReturnsAndThrowsWhatTheBodyDoes() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let loop = loops.workers[0]
        #expect(try await loop.run { EventLoop.current === loop })
        await #expect(throws: Refused.self) { try await loop.run { throw Refused() } }
    }

    @Test func jobsOfOneThreadKeepTheirOrder() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let loop = loops.workers[0]
        let order = Journal<Int>()
        for number in 0..<5000 { #expect(loop.execute { order.write(number) }) }
        try await loop.run {}
        #expect(order.entries == Array(0..<5000))
    }

    @Test func executeNowIsNowOnTheLoopAndLaterElsewhere() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let loop = loops.workers[0]
        let order = Journal<String>()
        try await loop.run {
            loop.execute { order.write("later") }
            loop.executeNow { order.write("now") }
            order.write("after")
        }
        try await loop.run {}
        #expect(order.entries == ["now", "after", "later"])
    }

    @Test func offloadLeavesTheLoopAndTheLoopGoesOn() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let loop = loops.workers[0]
        let gate = DispatchSemaphore(value: 0)
        async let place = loop.offload { () -> Int? in
            gate.wait()  // ends only because the loop is not blocked by it
            return EventLoop.current?.index
        }
        try await loop.run { _ = gate.signal() }
        #expect(try await place == nil)
    }

    @Test func offloadReturnsAndThrowsFromAnyThread() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let environment = Environment(loops: loops)
        #expect(try await environment.offload { 7 } == 7)
        await #expect(throws: Refused.self) { try await environment.offload { throw Refused() } }
        let results = Journal<Int>()
        await environment.spawn {
            if let result = try? await environment.offload({ 8 }) { results.write(result) }
        }.wait()
        #expect(results.entries == [8])
    }

    @Test func cancellingDoesNotInterruptBlockingWork() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let gate = DispatchSemaphore(value: 0)
        let work = Task { try await Environment(loops: loops).offload { gate.wait() } }
        work.cancel()
        gate.signal()
        try await work.value
    }

    // MARK: The end

    @Test func stopFromOutsideEndsAllAndIsIdempotent() async throws {
        let loops = try EventLoops(count: 2)
        loops.stop()
        loops.stop()
        let loop = loops.workers[0]
        #expect(!loop.execute { Issue.record("a loop that has ended ran a job") })
        #expect(try await microError { try await loop.run {} }.code == .unavailable)
        #expect(try await microError { try await loop.offload {} }.code == .unavailable)
        let sleeping = try await microError { try await loop.sleep(until: .max) }
        #expect(sleeping.code == .unavailable)
        #expect(sleeping.detail.contains("ended"))
    }

    @Test func tasksOfALoopThatHasEndedRunInThePool() async throws {
        let loops = try EventLoops(count: 1)
        loops.stop()
        let place = Journal<Int?>()
        await Environment(loops: loops).spawn { place.write(EventLoop.current?.index) }.wait()
        #expect(place.entries == [nil])
    }

    @Test func stopFromALoopsOwnThread() async throws {
        let loops = try EventLoops(count: 2)
        let after = Journal<Bool>()
        await Environment(loops: loops).spawn(on: loops.workers[0]) {
            loops.stop()
            await Task.yield()
            after.write(true)
        }.wait()
        #expect(after.entries == [true])
        try await eventually("the loop has ended") { !loops.workers[0].execute {} }
    }

    private struct Weak: Sendable {
        weak let loop: EventLoop?
    }

    @Test func droppingAGroupEndsItsThreads() async throws {
        var loops: EventLoops? = try EventLoops(count: 2)
        let all = ((loops?.workers ?? []) + [loops?.control].compactMap { $0 }).map(Weak.init)
        #expect(all.count == 3)
        #expect(all.allSatisfy { $0.loop != nil })
        loops = nil
        // A thread holds its loop until it has ended.
        try await eventually("the loops are gone") { all.allSatisfy { $0.loop == nil } }
    }

    @Test func droppingAGroupOnItsOwnThread() async throws {
        let held = Mutex<EventLoops?>(try EventLoops(count: 1))
        let environment = try #require(held.withLock { $0 }.map { Weak(loop: $0.workers[0]) })
        do {
            let loop = try #require(environment.loop)
            try await loop.run {
                let last = held.withLock { $0.take() }
                withExtendedLifetime(last) {}
            }
        }
        try await eventually("the loop is gone") { environment.loop == nil }
    }

    @Test func stopLosesNoTask() async throws {
        for _ in 0..<20 {
            let loops = try EventLoops(count: 2)
            let environment = Environment(loops: loops)
            let done = Tally()
            let tasks = (0..<200).map { number in
                environment.spawn(on: number % 3 == 0 ? loops.control : loops.next) {
                    for _ in 0..<50 { await Task.yield() }
                    done.add()
                }
            }
            loops.stop()
            for task in tasks { await task.wait() }
            #expect(done.value == 200)
        }
    }

    @Test func stopWakesWhoeverSleeps() async throws {
        let loops = try EventLoops(count: 1)
        let environment = Environment(loops: loops)
        let errors = Journal<MicroError.Code?>()
        let tasks = (0..<100).map { number in
            environment.spawn(on: number % 2 == 0 ? loops.control : loops.workers[0]) {
                do {
                    try await environment.clock.sleep(for: .seconds(3600))
                } catch {
                    errors.write((error as? MicroError)?.code)
                }
            }
        }
        try await eventually("all of them sleep") {
            loops.control.sleepers.withLock { $0.count } == 50
                && loops.workers[0].sleepers.withLock { $0.count } == 50
        }
        loops.stop()
        for task in tasks { await task.wait() }
        #expect(errors.entries == Array(repeating: .unavailable, count: 100))
    }

    @Test func stopWaitsForBlockingWork() async throws {
        let loops = try EventLoops(count: 1)
        let gate = DispatchSemaphore(value: 0)
        let begun = DispatchSemaphore(value: 0)
        let work = Task {
            try await loops.workers[0].offload {
                begun.signal()
                gate.wait()
                return 7
            }
        }
        let stopper = try LoopThread(named: "stopper") {
            begun.wait()
            loops.stop()
        }
        try await eventually("the loop takes nothing new") { !loops.workers[0].isRunning }
        gate.signal()
        #expect(try await work.value == 7)
        stopper.join()
    }

    /// Whoever comes while a group ends is served or refused, and never forgotten.
    @Test func stopWhileManyThreadsCome() async throws {
        for round in 0..<30 {
            let loops = try EventLoops(count: 2)
            let environment = Environment(loops: loops)
            let ended = Tally()
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        for turn in 0..<50 {
                            let loop = loops.next
                            switch (number + turn) % 4 {
                            case 0: try? await loop.run {}
                            case 1: await environment.spawn(on: loop) { await Task.yield() }.wait()
                            case 2: try? await loop.offload {}
                            default: try? await loop.sleep(until: loop.now + 50_000)
                            }
                            ended.add()
                        }
                    }
                }
                group.addTask {
                    for _ in 0..<(round * 3) { await Task.yield() }
                    loops.stop()
                }
            }
            #expect(ended.value == 400)
        }
    }

    // MARK: Groups

    @Test(arguments: [-1, 1025, .min, .max])
    func aGroupRefusesACountThatMakesNoSense(count: Int) {
        let error = #expect(throws: MicroError.self) { _ = try EventLoops(count: count) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.metadata["field"] == "count")
    }

    @Test func aGroupHasOneLoopForEachProcessorByDefault() throws {
        let loops = try EventLoops()
        defer { loops.stop() }
        #expect(loops.count >= 1)
        #expect(loops.workers.map(\.index) == Array(0..<loops.count))
    }

    @Test func thePreferredLoopIsTheCallersOwn() async throws {
        let loops = try EventLoops(count: 2)
        let others = try EventLoops(count: 2)
        defer {
            loops.stop()
            others.stop()
        }
        for worker in loops.workers {
            #expect(try await worker.run { loops.preferred === worker })
        }
        // The control loop carries no connections, other groups and threads have none here.
        for foreign in [loops.control, others.workers[0], others.control] {
            let chosen = try await foreign.run { (0..<4).map { _ in loops.preferred.index } }
            #expect(Set(chosen) == [0, 1])
        }
        #expect(Set((0..<4).map { _ in loops.preferred.index }) == [0, 1])
    }

    @Test func workStartsElsewhereWhenALoopIsBehind() async throws {
        let loops = try EventLoops(count: 2)
        defer { loops.stop() }
        let gate = DispatchSemaphore(value: 0)
        let (busy, idle) = (loops.workers[0], loops.workers[1])
        #expect(loops.executor(startingOn: idle) === idle)
        busy.execute { gate.wait() }
        for _ in 0..<1000 { busy.execute {} }
        #expect(loops.executor(startingOn: busy) === idle)
        gate.signal()
        try await busy.run {}
        #expect(busy.backlog == 0)
    }
}
