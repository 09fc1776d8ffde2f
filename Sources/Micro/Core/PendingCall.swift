internal import CMicroCore
internal import Synchronization

/// One unary call between the task that waits for it and the loop that carries it.
///
/// Whoever moves the state to "over" writes the end and resumes the task: once, in whatever order
/// start, answer and cancellation come. What is not behind the state is touched on the loop only.
final class PendingCall: @unchecked Sendable {  // see above
    /// What came of it.
    enum End: Sendable {
        /// It was not started: its target has no nodes that are known.
        case withoutNodes
        case over(CallOutcome)
        case failed(any Error)
    }

    private enum State {
        static let new: UInt8 = 0
        static let waiting: UInt8 = 1
        static let over: UInt8 = 2
    }

    private(set) var terms: CallTerms
    private let loop: EventLoop
    private let state = Atomic<UInt8>(State.new)
    private var continuation: UnsafeContinuation<Void, Never>?
    private var client: LoopClient?
    private var id: UInt64 = 0
    /// Of the nodes that it was started on.
    private(set) var revision: UInt64 = 0
    private var end = End.withoutNodes

    /// - Parameter loop: Where it will run.
    init(on loop: EventLoop, _ terms: CallTerms) {
        self.loop = loop
        self.terms = terms
    }

    /// For another call: there must be nobody else who knows this.
    func renew(_ terms: CallTerms) {
        self.terms = terms
        continuation = nil
        id = 0
        end = .withoutNodes
        state.store(State.new, ordering: .releasing)
    }

    /// Suspends until the call has ended, or the task is cancelled: the node is told then, and not
    /// waited for.
    ///
    /// - Parameter start: Runs once, at once. It starts the call, or sends it to its loop; or
    ///   nothing of the kind, when the task is cancelled already.
    @inline(__always)
    nonisolated(nonsending) func run(_ start: () -> Void) async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                self.continuation = continuation
                let (isFirst, _) = state.compareExchange(
                    expected: State.new, desired: State.waiting, ordering: .acquiringAndReleasing)
                if isFirst { return start() }
                end = .failed(CancellationError())
                continuation.resume()
            }
        } onCancel: {
            cancel()
        }
    }

    /// What a node has answered, if it is no error: once, for who waited.
    func takeAnswer() -> CallOutcome? {
        let taken = exchange(&end, with: .withoutNodes)
        if case .over(let outcome) = taken, outcome.code == 0 { return outcome }
        end = taken
        return nil
    }

    /// What came of it, once: for who waited. nil when it was not started.
    func takeOutcome() throws -> CallOutcome? {
        switch exchange(&end, with: .withoutNodes) {
        case .over(let outcome): return outcome
        case .failed(let error): throw error
        case .withoutNodes: return nil
        }
    }

    /// Whether anybody waits for it still.
    var isWaiting: Bool { state.load(ordering: .acquiring) == State.waiting }

    /// The core has it. On the loop.
    func hasStarted(on client: LoopClient, as id: UInt64, revision: UInt64) {
        self.client = client
        self.id = id
        self.revision = revision
    }

    /// The core's last word. On the loop.
    func hasEnded(_ result: UnsafePointer<mcore_result>) {
        guard takeOver(), let client else { return }
        end = .over(CallOutcome(result, client.texts))
        continuation?.resume()
    }

    /// Ends the waiting; ignored when it is over. Any thread.
    func finish(_ end: End) {
        guard takeOver() else { return }
        self.end = end
        continuation?.resume()
    }

    private func takeOver() -> Bool {
        state.compareExchange(
            expected: State.waiting, desired: State.over, ordering: .acquiringAndReleasing
        ).exchanged
    }

    private func cancel() {
        let (isFirst, _) = state.compareExchange(
            expected: State.new, desired: State.over, ordering: .acquiringAndReleasing)
        guard !isFirst, takeOver() else { return }
        end = .failed(CancellationError())
        continuation?.resume()
        loop.executeNow { self.client?.cancel(self.id) }
    }
}
