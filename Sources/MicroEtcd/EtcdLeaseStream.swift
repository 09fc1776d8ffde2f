internal import Micro
internal import SwiftProtobuf
internal import Synchronization

/// The one stream on which all leases of a client are kept alive.
///
/// It is opened when it is needed. When it breaks, all who wait for an answer are told, and the
/// next one opens another. An answer that does not come in time breaks it, too: the member may
/// hang, and another one may not.
final class EtcdLeaseStream: Sendable {
    typealias Out = Outbound<Etcdserverpb_LeaseKeepAliveRequest>
    typealias In = Inbound<Etcdserverpb_LeaseKeepAliveResponse>
    /// Opens a stream and runs the closure on it.
    typealias Opening =
        @Sendable (@escaping @Sendable (Out, In) async throws -> Void) async throws -> Void

    private let timeout: Duration
    private let environment: Environment
    private let bell = WakeUp()
    private let state = Mutex(State())

    private struct State {
        /// Asked for, and not sent.
        var queue: [Int64] = []
        /// etcd answers each question, and those about one lease in their order.
        var waiting: [Int64: [Latch<Int64>]] = [:]
        var task: SpawnedTask?
        /// Which stream it is: a former one has nothing to say.
        var number: UInt64 = 0
        var isRunning = false
        var isClosed = false
    }

    /// A stream that nobody needs is closed after it.
    private static let idleTimeout = Duration.seconds(120)

    init(timeout: Duration, environment: Environment) {
        self.timeout = timeout
        self.environment = environment
    }

    /// Starts the time of a lease anew; 0 when there is no such lease.
    func keepAlive(_ id: Int64, opening: @escaping Opening) async throws -> Int64 {
        let latch = Latch<Int64>()
        let start: UInt64? = try state.withLock { state in
            guard !state.isClosed else {
                throw MicroError("etcd.keepAlive", .unavailable, "the client of etcd is closed")
            }
            state.queue.append(id)
            state.waiting[id, default: []].append(latch)
            if state.isRunning { return nil }
            state.isRunning = true
            state.number += 1
            return state.number
        }
        if let start { run(start, opening) } else { bell.ring() }
        do {
            return try await withTimeout(
                timeout, on: environment.clock, "etcd.keepAlive", "keeping a lease alive"
            ) {
                try await latch.wait()
            }
        } catch let error as MicroError where error.code == .deadlineExceeded {
            state.withLock { $0.task.take() }?.cancel()
            throw error
        }
    }

    func close() {
        let task = state.withLock { state in
            state.isClosed = true
            return state.task.take()
        }
        task?.cancel()
    }

    private func run(_ number: UInt64, _ opening: @escaping Opening) {
        let task = Context.unbound {
            environment.spawn {
                do {
                    try await opening { try await self.converse(number, $0, $1) }
                    self.end(number, MicroError("etcd.keepAlive", .unavailable, "it was closed"))
                } catch {
                    // It is cancelled when a member hangs: to those that wait that is an outage.
                    let error = MicroError(error, id: "etcd.keepAlive")
                    self.end(
                        number,
                        error.code == .cancelled
                            ? MicroError("etcd.keepAlive", .unavailable, "etcd does not answer")
                            : error)
                }
            }
        }
        let mustStop = state.withLock { state in
            if state.isRunning, state.number == number { state.task = task }
            return state.isClosed
        }
        if mustStop { task.cancel() }
    }

    /// Until the stream breaks, or nobody has needed it for a while.
    private func converse(_ number: UInt64, _ out: Out, _ replies: In) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while let queue = self.takeQueue(number) {
                    for id in queue { try await out.send(.with { $0.id = id }) }
                    await self.bell.wait(
                        atMost: Self.idleTimeout, clock: self.environment.clock)
                    try Task.checkCancellation()
                }
            }
            group.addTask {
                for try await reply in replies { self.answer(reply) }
                throw MicroError("etcd.keepAlive", .unavailable, "etcd has ended the stream")
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// nil when nothing was asked for since the last time: the stream ends.
    private func takeQueue(_ number: UInt64) -> [Int64]? {
        state.withLock { state in
            guard state.number == number else { return nil }
            if state.queue.isEmpty, state.waiting.isEmpty {
                state.isRunning = false
                state.task = nil
                return nil
            }
            defer { state.queue = [] }
            return state.queue
        }
    }

    private func answer(_ reply: Etcdserverpb_LeaseKeepAliveResponse) {
        let latch = state.withLock { state -> Latch<Int64>? in
            guard var waiting = state.waiting.removeValue(forKey: reply.id) else { return nil }
            let latch = waiting.removeFirst()
            if !waiting.isEmpty { state.waiting[reply.id] = waiting }
            return latch
        }
        latch?.set(.success(reply.ttl))
    }

    private func end(_ number: UInt64, _ error: MicroError) {
        let waiting = state.withLock { state -> [Int64: [Latch<Int64>]] in
            guard state.number == number, state.isRunning else { return [:] }
            state.isRunning = false
            state.task = nil
            state.queue = []
            defer { state.waiting = [:] }
            return state.waiting
        }
        for latch in waiting.values.joined() { latch.set(.failure(error)) }
    }
}
