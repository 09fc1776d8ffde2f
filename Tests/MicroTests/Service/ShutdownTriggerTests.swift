import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct ShutdownTriggerTests {
    @Test func theFirstPullIsTheFirst() async {
        let trigger = ShutdownTrigger()
        #expect(!trigger.isPulled)
        #expect(trigger.pull())
        #expect(!trigger.pull())
        #expect(trigger.isPulled)
        await trigger.wait()
    }

    @Test func everybodyGoesOn() async throws {
        let trigger = ShutdownTrigger()
        let waiters = (0..<100).map { _ in Task { await trigger.wait() } }
        for _ in 0..<10 { await Task.yield() }
        trigger.pull()
        for waiter in waiters { await waiter.value }
    }

    @Test func aCancelledTaskPullsIt() async throws {
        for turns in 0..<50 {
            let trigger = ShutdownTrigger()
            let waiter = Task { await trigger.wait() }
            for _ in 0..<turns { await Task.yield() }
            waiter.cancel()
            await waiter.value
            #expect(trigger.isPulled)
        }
    }

    @Test func manyPullAtOnceAndOneIsFirst() async {
        for _ in 0..<100 {
            let trigger = ShutdownTrigger()
            let firsts = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 { group.addTask { trigger.pull() } }
                group.addTask {
                    await trigger.wait()
                    return false
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(firsts == 1)
        }
    }
}
