import Synchronization
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct EnvironmentTests {
    @Test func thereIsOneForTheProcess() async throws {
        let environment = Environment.current
        #expect(!environment.isSimulated)
        #expect(environment.loops === Environment.current.loops)
        #expect(environment.loops === EventLoops.process)
        // 2025 to 2100, in seconds since 1970.
        #expect((1_735_689_600..<4_102_444_800).contains(environment.wallClock.components.seconds))
    }

    @Test func bindMakesItCurrentForAllThatIsInside() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let own = Environment(loops: loops)
        await own.bind {
            #expect(Environment.current.loops === loops)
            async let child = Environment.current.loops === loops
            #expect(await child)
        }
        #expect(own.bind { Environment.current.loops === loops })
        #expect(Environment.current.loops !== loops)
    }

    @Test func spawnedTasksInheritTheEnvironmentAndTheControlLoop() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let seen = Journal<Bool>()
        await Environment(loops: loops).spawn {
            seen.write(Environment.current.loops === loops)
            seen.write(EventLoop.current === loops.control)
            await Environment.current.spawn {
                seen.write(Environment.current.loops === loops)
            }.wait()
        }.wait()
        #expect(seen.entries == [true, true, true])
    }

    @Test func aSpawnedTaskIsCancelledAndWaitedFor() async throws {
        let loops = try EventLoops(count: 1)
        defer { loops.stop() }
        let ended = Tally()
        let task = Environment(loops: loops).spawn {
            while !Task.isCancelled { await Task.yield() }
            ended.add()
        }
        task.cancel()
        await task.wait()
        #expect(ended.value == 1)
        await task.wait()
    }

    @Test func randomNumbersDiffer() {
        let environment = Environment.current
        #expect(Set((0..<100).map { _ in environment.random() }).count == 100)
        var generator = environment.randomness
        #expect((1...6).contains(Int.random(in: 1...6, using: &generator)))
    }
}
