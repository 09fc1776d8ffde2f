internal import Micro

/// Commands that go out together, and their answers: contiguous on the wire.
final class RedisRequest: @unchecked Sendable {  // what changes is the pipeline's
    typealias Answer = CheckedContinuation<[RedisValue], any Error>

    /// What it is called in errors: "redis.get".
    let operation: String
    /// Empty when they were written.
    fileprivate(set) var bytes: [UInt8]
    /// How many replies answer it.
    let count: Int
    let deadline: EventLoopClock.Instant?
    /// How long Redis itself may take.
    let blocking: Duration

    fileprivate var waiter: Answer?
    fileprivate var replies: [RedisValue] = []
    fileprivate var sentAt = EventLoopClock.Instant(nanoseconds: 0)

    init(
        _ operation: String, bytes: [UInt8], count: Int, deadline: EventLoopClock.Instant?,
        blocking: Duration = .zero
    ) {
        self.operation = operation
        self.bytes = bytes
        self.count = count
        self.deadline = deadline
        self.blocking = blocking
    }
}

/// What waits on one connection, in its order: pure, but for the tasks that it collects to be
/// resumed outside of the lock.
struct Pipeline {
    typealias Instant = EventLoopClock.Instant

    struct Limits {
        var commands: Int
        var bytes: Int
        /// Nothing has come for so long, and answers are due: the connection is dead.
        var stall: Duration
        /// A connection that was not used for so long is pinged.
        var ping: Duration
    }

    struct Wakeup {
        fileprivate let answer: RedisRequest.Answer
        fileprivate let result: Result<[RedisValue], any Error>

        func resume() { answer.resume(with: result) }
    }

    /// What the passing of time asks for.
    enum Verdict: Equatable { case nothing, ping, dead }

    private let limits: Limits
    private let place: String
    private var queued = Fifo<RedisRequest>()
    private var sent = Fifo<RedisRequest>()
    private var queuedBytes = 0
    private var commands = 0
    private var lastUse: Instant
    /// When it was asked, without a request, whether the peer is there.
    private var probedAt: Instant?
    /// The peer is stopped by this side, so that its silence says nothing.
    private var isPaused = false
    private var wakeups: [Wakeup] = []
    /// Why it has ended.
    private(set) var failure: MicroError?

    init(_ limits: Limits, place: String, now: Instant) {
        self.limits = limits
        self.place = place
        self.lastUse = now
    }

    /// Whether nothing waits.
    var isIdle: Bool { queued.isEmpty && sent.isEmpty }

    mutating func takeWakeups() -> [Wakeup] {
        defer { wakeups = [] }
        return wakeups
    }

    private mutating func answer(
        _ request: RedisRequest, _ result: Result<[RedisValue], any Error>
    ) {
        guard let waiter = request.waiter.take() else { return }
        wakeups.append(Wakeup(answer: waiter, result: result))
    }

    // MARK: Sending

    /// - Parameter waiter: nil: nobody wants the answer.
    mutating func submit(_ request: RedisRequest, waiter: RedisRequest.Answer?) {
        request.waiter = waiter
        if let failure {
            answer(request, .failure(failure))
        } else if commands + request.count > limits.commands, commands > 0 {
            refuse(request, "\(commands) commands wait already")
        } else if queuedBytes + request.bytes.count > limits.bytes, queuedBytes > 0 {
            refuse(request, "\(queuedBytes) bytes wait already")
        } else {
            commands += request.count
            queuedBytes += request.bytes.count
            queued.append(request)
        }
    }

    private mutating func refuse(_ request: RedisRequest, _ why: String) {
        answer(
            request,
            .failure(
                MicroError.resourceExhausted(
                    request.operation, "\(place): \(why): send fewer at once",
                    reason: RedisReason.tooManyCommands)))
    }

    /// The next to be written; it counts as written by ``wrote(now:)``.
    var next: RedisRequest? { queued.first }

    mutating func wrote(now: Instant) {
        guard let request = queued.popFirst() else { return }
        queuedBytes -= request.bytes.count
        if sent.isEmpty { lastUse = now }
        request.sentAt = now
        request.bytes = []
        sent.append(request)
    }

    // MARK: Receiving

    /// - Returns: Whether somebody has asked for it.
    mutating func received(_ value: RedisValue, now: Instant) -> Bool {
        lastUse = now
        probedAt = nil
        guard let request = sent.first else { return false }
        request.replies.append(value)
        guard request.replies.count == request.count else { return true }
        _ = sent.popFirst()
        commands -= request.count
        answer(request, .success(request.replies))
        request.replies = []
        return true
    }

    // MARK: Giving up

    /// Nobody waits for it any more. What was written keeps its place: its answer still comes.
    mutating func cancel(_ request: RedisRequest, _ error: any Error) {
        if queued.removeFirst(where: { $0 === request }) != nil {
            queuedBytes -= request.bytes.count
            commands -= request.count
        }
        answer(request, .failure(error))
    }

    /// Ends it: what was written may have been done.
    ///
    /// - Parameter fault: What is wrong with the reply to the first; the others can't help it.
    mutating func end(_ error: MicroError, fault: MicroError? = nil) {
        guard failure == nil else { return }
        failure = error
        if let fault, let first = sent.popFirst() { fail(first, fault, wasWritten: true) }
        for request in sent.removeAll() { fail(request, error, wasWritten: true) }
        for request in queued.removeAll() { fail(request, error, wasWritten: false) }
        queuedBytes = 0
        commands = 0
    }

    private mutating func fail(_ request: RedisRequest, _ error: MicroError, wasWritten: Bool) {
        var error = error
        error.id = request.operation
        error.wasWritten = wasWritten
        if wasWritten { error.detail += ": whether it was done is not known" }
        answer(request, .failure(error))
    }

    // MARK: Time

    /// Something has to come now, or the connection is dead.
    mutating func probed(now: Instant) { probedAt = now }

    /// Gives up what has waited for too long.
    mutating func tick(now: Instant) -> Verdict {
        guard failure == nil else { return .nothing }
        giveUp(in: queued, now: now, wasWritten: false)
        let late = queued
        queued = Fifo()
        for offset in 0..<late.count {
            let request = late[offset]
            if request.waiter == nil, request.deadline.map({ $0 <= now }) ?? false {
                queuedBytes -= request.bytes.count
                commands -= request.count
            } else {
                queued.append(request)
            }
        }
        giveUp(in: sent, now: now, wasWritten: true)
        if let due = stallDue, due <= now { return .dead }
        if let due = pingDue, due <= now { return .ping }
        return .nothing
    }

    private mutating func giveUp(in requests: Fifo<RedisRequest>, now: Instant, wasWritten: Bool) {
        for offset in 0..<requests.count {
            let request = requests[offset]
            guard request.waiter != nil, let deadline = request.deadline, deadline <= now else {
                continue
            }
            var error = MicroError.timeout(
                request.operation, "\(place): there was no answer in time")
            error.wasWritten = wasWritten
            answer(request, .failure(error))
        }
    }

    mutating func pause(_ isOn: Bool, now: Instant) {
        isPaused = isOn
        lastUse = now
        probedAt = nil
    }

    private var stallDue: Instant? {
        if isPaused { return nil }
        guard let first = sent.first else { return probedAt?.advanced(by: limits.stall) }
        return max(first.sentAt, lastUse).advanced(by: limits.stall)
            .advanced(by: first.blocking)
    }

    private var pingDue: Instant? {
        isIdle && probedAt == nil && !isPaused ? lastUse.advanced(by: limits.ping) : nil
    }

    /// When ``tick(now:)`` has something to do.
    var due: Instant? {
        guard failure == nil else { return nil }
        var due = stallDue ?? pingDue
        for requests in [queued, sent] {
            for offset in 0..<requests.count {
                let request = requests[offset]
                guard request.waiter != nil, let deadline = request.deadline else { continue }
                due = min(due ?? deadline, deadline)
            }
        }
        return due
    }
}
