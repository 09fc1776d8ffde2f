internal import Synchronization

/// Waits until a number of things are done. It can be used again when they are.
public final class WaitGroup: Sendable {
    private struct State {
        var count = 0
        var door = Latch<Void>()
    }

    private let clock: EventLoopClock
    private let state = Mutex(State())

    /// Makes a group with nothing to wait for.
    public init(environment: Environment = .current) { self.clock = environment.clock }

    /// How many things are not done yet.
    public var count: Int { state.withLock { $0.count } }

    /// So many more things are to be waited for.
    ///
    /// - Throws: ``MicroError``, `invalidArgument`: `number` is less than 1, or too large.
    public func add(_ number: Int = 1) throws(MicroError) {
        try state.withLock { state throws(MicroError) in
            let (sum, overflow) = state.count.addingReportingOverflow(number)
            guard number > 0, !overflow else {
                throw .invalid("waitgroup", "\(number) can't be added", at: "number")
            }
            if state.count == 0 { state.door = Latch() }
            state.count = sum
        }
    }

    /// One of them is done.
    ///
    /// - Throws: ``MicroError``, `failedPrecondition`: all were done already.
    public func done() throws(MicroError) {
        let door = try state.withLock { state throws(MicroError) -> Latch<Void>? in
            guard state.count > 0 else {
                throw .failedPrecondition("waitgroup", "done more often than added")
            }
            state.count -= 1
            return state.count == 0 ? state.door : nil
        }
        door?.open()
    }

    /// Waits until all are done.
    ///
    /// - Parameter timeout: How long; nil: as long as it takes.
    /// - Throws: ``MicroError``, `deadlineExceeded`, with how many are left: they can be waited for
    ///   again. `CancellationError`.
    public func wait(timeout: Duration? = nil) async throws {
        guard let door = state.withLock({ $0.count > 0 ? $0.door : nil }) else { return }
        guard let timeout else { return try await door.wait() }
        do {
            try await withTimeout(timeout, on: clock, "waitgroup", "the group") {
                try await door.wait()
            }
        } catch let error as MicroError where error.matches(.deadlineExceeded) {
            throw MicroError.timeout("waitgroup", "\(count) are not done after \(timeout)")
        }
    }
}
