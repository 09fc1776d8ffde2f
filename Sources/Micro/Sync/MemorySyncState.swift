/// Everything a ``MemorySync`` knows, behind its lock. Whom it concerns is collected, to be resumed
/// outside of the lock.
struct MemorySyncState {
    typealias Instant = EventLoopClock.Instant
    typealias Acquired = CheckedContinuation<Lease, any Error>

    struct Wakeup {
        let continuation: Acquired
        let result: Result<Lease, any Error>
    }

    /// Who wants a lock.
    struct Request {
        let name: String
        let ttl: Duration
        /// nil: waits as long as it takes.
        let deadline: Instant?
        let call: UInt64
        let owner: String
        let continuation: Acquired
    }

    private struct Lock {
        var holder: Lease?
        var waiters = Fifo<Request>()
    }

    private struct Due: Comparable {
        enum Kind {
            case lease(token: UInt64)
            case waiter(call: UInt64)
        }

        let at: Instant
        let order: UInt64
        let name: ExactKey
        let kind: Kind

        static func < (lhs: Due, rhs: Due) -> Bool {
            lhs.at == rhs.at ? lhs.order < rhs.order : lhs.at < rhs.at
        }

        static func == (lhs: Due, rhs: Due) -> Bool { lhs.order == rhs.order }
    }

    private let clock: EventLoopClock
    private let maxWaiters: Int
    private var locks: [ExactKey: Lock] = [:]
    /// The calls that wait, of all locks.
    private var waiting: Set<UInt64> = []
    private var dues = MinHeap<Due>()
    private var duesBound = 1024
    private var lastToken: UInt64 = 0
    private var lastID: UInt64 = 0
    private var isClosed = false
    private var wakeups: [Wakeup] = []

    init(clock: EventLoopClock, maxWaiters: Int) {
        self.clock = clock
        self.maxWaiters = maxWaiters
    }

    mutating func newID() -> UInt64 {
        lastID &+= 1
        return lastID
    }

    mutating func takeWakeups() -> [Wakeup] {
        defer { wakeups = [] }
        return wakeups
    }

    mutating func refuse(_ continuation: Acquired, _ error: any Error) {
        wakeups.append(Wakeup(continuation: continuation, result: .failure(error)))
    }

    // MARK: Taking

    mutating func acquire(_ request: Request, now: Instant) {
        if isClosed { return refuse(request.continuation, SyncRefusal.closed) }
        tick(now: now)
        let key = ExactKey(request.name)
        let waiters = locks[key]?.waiters.count ?? 0
        if locks[key]?.holder == nil {
            locks[key] = Lock()
            grant(key, to: request, now: now)
        } else if let deadline = request.deadline, deadline <= now {
            refuse(request.continuation, SyncRefusal.timeout(request.name))
        } else if waiters >= maxWaiters {
            refuse(
                request.continuation,
                SyncRefusal.tooManyWait(request.name, waiters, limit: maxWaiters))
        } else {
            locks[key]?.waiters.append(request)
            waiting.insert(request.call)
            if let deadline = request.deadline {
                due(.waiter(call: request.call), of: key, at: deadline)
            }
        }
    }

    private mutating func grant(_ key: ExactKey, to request: Request, now: Instant) {
        lastToken += 1
        let lease = Lease(
            name: request.name, token: lastToken, owner: request.owner, ttl: request.ttl,
            expiry: now.advanced(by: request.ttl), clock: clock)
        locks[key]?.holder = lease
        due(.lease(token: lease.token), of: key, at: lease.expiry)
        wakeups.append(Wakeup(continuation: request.continuation, result: .success(lease)))
    }

    mutating func cancel(_ name: String, call: UInt64) {
        if let waiter = remove(call, from: ExactKey(name)) {
            refuse(waiter.continuation, CancellationError())
        }
    }

    private mutating func remove(_ call: UInt64, from key: ExactKey) -> Request? {
        guard waiting.remove(call) != nil else { return nil }
        return locks[key]?.waiters.removeFirst { $0.call == call }
    }

    // MARK: Keeping and giving back

    mutating func renew(_ lease: Lease, now: Instant) throws(MicroError) -> Lease {
        tick(now: now)
        try verify(lease)
        let renewed = Lease(
            name: lease.name, token: lease.token, owner: lease.owner, ttl: lease.ttl,
            expiry: now.advanced(by: lease.ttl), clock: clock)
        let key = ExactKey(lease.name)
        locks[key]?.holder = renewed
        due(.lease(token: lease.token), of: key, at: renewed.expiry)
        return renewed
    }

    mutating func release(_ lease: Lease, now: Instant) throws(MicroError) {
        tick(now: now)
        try verify(lease)
        passOn(ExactKey(lease.name), now: now)
    }

    private func verify(_ lease: Lease) throws(MicroError) {
        let holder = locks[ExactKey(lease.name)]?.holder
        guard let holder, holder.token == lease.token, holder.owner == lease.owner else {
            throw SyncRefusal.lost(lease)
        }
    }

    private mutating func passOn(_ key: ExactKey, now: Instant) {
        locks[key]?.holder = nil
        if let next = locks[key]?.waiters.popFirst() {
            waiting.remove(next.call)
            grant(key, to: next, now: now)
        } else {
            locks[key] = nil
        }
    }

    mutating func holder(of name: String, now: Instant) throws(MicroError) -> LeaseHolder? {
        if isClosed { throw SyncRefusal.closed }
        tick(now: now)
        return locks[ExactKey(name)]?.holder.map { LeaseHolder(name: name, token: $0.token) }
    }

    // MARK: Time

    /// Handles all that is due.
    mutating func tick(now: Instant) {
        while let first = dues.first, first.at <= now, let due = dues.popFirst() {
            guard isLive(due) else { continue }
            switch due.kind {
            case .lease: passOn(due.name, now: now)
            case .waiter(let call):
                if let waiter = remove(call, from: due.name) {
                    refuse(waiter.continuation, SyncRefusal.timeout(waiter.name))
                }
            }
        }
    }

    /// When the alarm has to ring.
    mutating func nextAlarm() -> Instant? {
        if dues.count > duesBound {
            dues.filter(isLive)
            duesBound = max(1024, 2 * dues.count)
        }
        while let first = dues.first, !isLive(first) { _ = dues.popFirst() }
        return dues.first?.at
    }

    private mutating func due(_ kind: Due.Kind, of name: ExactKey, at instant: Instant) {
        dues.push(Due(at: instant, order: newID(), name: name, kind: kind))
    }

    private func isLive(_ due: Due) -> Bool {
        switch due.kind {
        case .lease(let token):
            guard let holder = locks[due.name]?.holder else { return false }
            // A renewed lease has a later one.
            return holder.token == token && holder.expiry <= due.at
        case .waiter(let call):
            return waiting.contains(call)
        }
    }

    // MARK: Ending

    mutating func close() {
        isClosed = true
        // Sorted: who is resumed first must not depend on hashing.
        for key in locks.keys.sorted() {
            for waiter in locks[key]?.waiters.removeAll() ?? [] {
                refuse(waiter.continuation, SyncRefusal.closed)
            }
        }
        locks = [:]
        waiting = []
        dues.removeAll()
    }
}
