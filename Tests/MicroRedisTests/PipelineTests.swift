import Micro
import Testing

@testable import MicroRedis

/// The order of commands and answers, without a connection.
@Suite struct PipelineTests {
    private typealias Instant = EventLoopClock.Instant

    private static func at(_ seconds: Int) -> Instant {
        Instant(nanoseconds: UInt64(seconds) * 1_000_000_000)
    }

    /// What a task was answered, once its pipeline has been played with.
    private func outcome(
        count: Int = 1, deadline: Int? = nil, blocking: Duration = .zero, limits: Pipeline.Limits,
        _ play: (inout Pipeline, RedisRequest) -> Void
    ) async -> Result<[RedisValue], any Error> {
        do {
            return .success(
                try await withCheckedThrowingContinuation { continuation in
                    var pipeline = Pipeline(limits, place: "redis", now: Self.at(0))
                    let request = RedisRequest(
                        "redis.x", bytes: [1, 2, 3], count: count,
                        deadline: deadline.map(Self.at), blocking: blocking)
                    pipeline.submit(request, waiter: continuation)
                    play(&pipeline, request)
                    for wakeup in pipeline.takeWakeups() { wakeup.resume() }
                })
        } catch {
            return .failure(error)
        }
    }

    /// Of something that changes as it is asked, which the macro can't.
    private func check(_ isTrue: Bool, _ location: SourceLocation = #_sourceLocation) {
        #expect(isTrue, sourceLocation: location)
    }

    private let limits = Pipeline.Limits(
        commands: 10, bytes: 100, stall: .seconds(10), ping: .seconds(30))

    private func error(_ outcome: Result<[RedisValue], any Error>) -> MicroError? {
        guard case .failure(let error) = outcome else { return nil }
        return error as? MicroError
    }

    @Test func repliesAreCollected() async throws {
        let outcome = await outcome(count: 2, limits: limits) { pipeline, request in
            #expect(pipeline.next === request)
            pipeline.wrote(now: Self.at(1))
            #expect(pipeline.next == nil)
            check(pipeline.received(.integer(1), now: Self.at(1)))
            #expect(!pipeline.isIdle)
            check(pipeline.received(.error("ERR"), now: Self.at(1)))
            #expect(pipeline.isIdle)
            check(!pipeline.received(.integer(3), now: Self.at(1)))
        }
        #expect(try outcome.get() == [.integer(1), .error("ERR")])
    }

    @Test func whatWasWrittenMayHaveBeenDone() async {
        for wasWritten in [false, true] {
            let outcome = await outcome(limits: limits) { pipeline, _ in
                if wasWritten { pipeline.wrote(now: Self.at(1)) }
                pipeline.end(.unavailable("redis", "gone"))
                pipeline.end(.unavailable("redis", "gone again"))
            }
            let error = error(outcome)
            #expect(error?.code == .unavailable)
            #expect(error?.wasWritten == wasWritten)
            #expect(error?.isRetryable == !wasWritten)
            #expect(error?.id == "redis.x")
        }
    }

    @Test func lateAnswersFindNobody() async {
        let outcome = await outcome(deadline: 5, limits: limits) { pipeline, _ in
            pipeline.wrote(now: Self.at(1))
            #expect(pipeline.due == Self.at(5))
            check(pipeline.tick(now: Self.at(4)) == .nothing)
            check(pipeline.tick(now: Self.at(5)) == .nothing)
            // Its place is kept: the answer that comes is not taken for that of the next.
            #expect(!pipeline.isIdle)
            #expect(pipeline.due == Self.at(11))
            check(pipeline.received(.integer(1), now: Self.at(6)))
            #expect(pipeline.isIdle)
            #expect(pipeline.due == Self.at(36))
            check(pipeline.tick(now: Self.at(36)) == .ping)
        }
        #expect(error(outcome)?.code == .deadlineExceeded)
        #expect(error(outcome)?.wasWritten == true)
    }

    @Test func whatWasNotWrittenIsForgotten() async {
        let outcome = await outcome(deadline: 5, limits: limits) { pipeline, _ in
            check(pipeline.tick(now: Self.at(5)) == .nothing)
            #expect(pipeline.next == nil && pipeline.isIdle)
        }
        #expect(error(outcome)?.code == .deadlineExceeded)
        #expect(error(outcome)?.wasWritten == false)
        let cancelled = await self.outcome(limits: limits) { pipeline, request in
            pipeline.cancel(request, CancellationError())
            pipeline.cancel(request, CancellationError())
            #expect(pipeline.isIdle)
        }
        #expect(throws: CancellationError.self) { try cancelled.get() }
    }

    @Test func silenceIsDeath() async {
        _ = await outcome(limits: limits) { pipeline, _ in
            pipeline.wrote(now: Self.at(1))
            check(pipeline.tick(now: Self.at(10)) == .nothing)
            check(pipeline.tick(now: Self.at(11)) == .dead)
            pipeline.end(.unavailable("redis", "dead"))
            #expect(pipeline.due == nil)
        }
        _ = await outcome(blocking: .seconds(60), limits: limits) { pipeline, _ in
            pipeline.wrote(now: Self.at(1))
            check(pipeline.tick(now: Self.at(70)) == .nothing)
            check(pipeline.tick(now: Self.at(71)) == .dead)
            pipeline.end(.unavailable("redis", "dead"))
        }
        var quiet = Pipeline(limits, place: "redis", now: Self.at(0))
        check(quiet.tick(now: Self.at(30)) == .ping)
        quiet.probed(now: Self.at(30))
        check(quiet.tick(now: Self.at(39)) == .nothing)
        quiet.pause(true, now: Self.at(39))
        check(quiet.tick(now: Self.at(500)) == .nothing)
        quiet.pause(false, now: Self.at(500))
        check(quiet.tick(now: Self.at(529)) == .nothing)
        check(quiet.tick(now: Self.at(530)) == .ping)
        quiet.probed(now: Self.at(530))
        check(quiet.tick(now: Self.at(540)) == .dead)
    }

    @Test func limitsOfWhatWaits() async {
        for (count, bytes) in [(10, 100), (11, 100), (10, 98)] {
            var small = limits
            small.commands = count
            small.bytes = bytes
            let outcome = await outcome(limits: small) { pipeline, first in
                pipeline.cancel(first, CancellationError())
                let others = [
                    RedisRequest(
                        "a", bytes: [UInt8](repeating: 0, count: 98), count: 10, deadline: nil),
                    RedisRequest("b", bytes: [1], count: 1, deadline: nil),
                ]
                for other in others { pipeline.submit(other, waiter: nil) }
                #expect(pipeline.next === others[0])
                pipeline.wrote(now: Self.at(0))
                #expect((pipeline.next === others[1]) == (count == 11))
            }
            #expect(throws: CancellationError.self) { try outcome.get() }
        }
    }
}
