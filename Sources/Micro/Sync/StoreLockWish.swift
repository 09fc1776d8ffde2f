/// One call for a lock of a ``StoreSync``: until it has a lease, or fails.
struct StoreLockWish: Sendable {
    typealias Instant = EventLoopClock.Instant

    let keys: StoreLockKeys
    let ttl: Duration
    /// Of the lease.
    let owner: String
    let sync: StoreSync
    /// nil: as long as it takes.
    let deadline: Instant?

    private var store: any Store { sync.store }
    private var clock: EventLoopClock { sync.environment.clock }

    func fulfil() async throws -> Lease {
        if try await ticketsInOrder(atMost: 1).isEmpty, let lease = try await take() {
            return lease
        }
        try checkDeadline()
        let changes = try await store.changes(prefix: keys.prefix, from: nil)
        var place = try await queueUp()
        do {
            return try await wait(at: &place, changes)
        } catch {
            // Those behind don't have to wait for the ticket to end by itself.
            let ticket = place.ticket
            await sync.environment.uncancelled { [store] in _ = try? await store.delete(ticket) }
            throw error
        }
    }

    private func checkDeadline() throws(MicroError) {
        if let deadline, deadline <= clock.now { throw SyncRefusal.timeout(keys.name) }
    }

    // MARK: The lock

    /// Takes the lock if it is free, and gives the ticket back with the same commit.
    private func take(with ticket: String? = nil) async throws -> Lease? {
        let sent = clock.now
        let write = try StoreBatch.Write(
            StoreLockRecord(owner: owner, label: sync.options.label),
            writing: CodableCoding(store.codecs), at: keys.lock,
            ttl: ttl, if: .absent, fencedBy: nil, metadata: [:])
        var batch = StoreBatch(operations: [.write(write)])
        if let ticket { batch.operations.append(.delete(StoreBatch.Deletion(key: ticket))) }
        do {
            let token = try await store.commit(batch).revision
            return Lease(
                name: keys.name, token: token, owner: owner, ttl: ttl,
                expiry: sent.advanced(by: ttl), clock: clock)
        } catch let error as MicroError where error.reason == "VERSION_CONFLICT" {
            return nil
        }
    }

    // MARK: The queue

    /// Where this call stands.
    private struct Place {
        var ticket: String
        var version: UInt64
        /// The ticket before; nil: this is the first one.
        var ahead: String?
        /// When the ticket has to be renewed.
        var renewal: Instant
    }

    private func ticketsInOrder(atMost limit: Int) async throws -> [String] {
        let limit = min(max(limit, 1), StoreQuery.limitMax)
        return try await store.list(StoreQuery(prefix: keys.tickets, limit: limit)).keys
    }

    private func queueUp() async throws -> Place {
        while true {
            let waiting = try await ticketsInOrder(atMost: sync.options.maxWaiters)
            guard waiting.count < sync.options.maxWaiters else {
                throw SyncRefusal.tooManyWait(
                    keys.name, waiting.count, limit: sync.options.maxWaiters)
            }
            let last = try await store.record(keys.lastTicket, as: UInt64.self)
            let number = (last?.value ?? 0) &+ 1
            let ticket = keys.ticket(number)
            let coding = CodableCoding<UInt64>(store.codecs)
            let count = try StoreBatch.Write(
                number, writing: coding, at: keys.lastTicket, ttl: nil,
                if: last.map { .version($0.version) } ?? .absent, fencedBy: nil, metadata: [:])
            let write = try StoreBatch.Write(
                number, writing: coding, at: ticket, ttl: sync.options.ticketTTL, if: .any,
                fencedBy: nil, metadata: [:])
            do {
                let commit = try await store.commit(
                    StoreBatch(operations: [.write(count), .write(write)]))
                return Place(
                    ticket: ticket, version: commit.revision,
                    ahead: waiting.last { $0 < ticket }, renewal: nextRenewal)
            } catch let error as MicroError where error.reason == "VERSION_CONFLICT" {
                continue  // Somebody else came at the same time.
            }
        }
    }

    private var nextRenewal: Instant { clock.now.advanced(by: sync.options.ticketTTL / 3) }

    /// Lets the store know that somebody still waits. Who was away for too long queues up anew.
    private func renew(_ place: inout Place) async throws {
        do {
            place.version = try await store.write(
                0 as UInt64, at: place.ticket, ttl: sync.options.ticketTTL,
                if: .version(place.version))
            place.renewal = nextRenewal
        } catch let error as MicroError where error.reason == "VERSION_CONFLICT" {
            place = try await queueUp()
        }
    }

    private func lookAhead(_ place: inout Place) async throws {
        let waiting = try await ticketsInOrder(atMost: StoreQuery.limitMax)
        guard waiting.contains(place.ticket) else { return place = try await queueUp() }
        let ticket = place.ticket
        place.ahead = waiting.last { $0 < ticket }
    }

    // MARK: Waiting

    private func wait(at place: inout Place, _ first: StoreChanges) async throws -> Lease {
        var changes = first
        while true {
            try checkDeadline()
            try sync.checkOpen()
            if place.renewal <= clock.now { try await renew(&place) }
            var end = min(place.renewal, clock.now.advanced(by: sync.options.pollInterval))
            if let deadline { end = min(end, deadline) }
            if place.ahead != nil {
                try await lookAhead(&place)
            }
            if place.ahead == nil {
                if let lease = try await take(with: place.ticket) { return lease }
                let left = try await store.record(keys.lock)?.timeToLive ?? .zero
                end = min(end, clock.now.advanced(by: left))
            }
            switch try await event(place.ahead, changes, until: end) {
            case .moved, .due: continue
            case .closed: throw SyncRefusal.closed
            case .unwatched: changes = try await store.changes(prefix: keys.prefix, from: nil)
            }
        }
    }

    private enum Event {
        /// The lock, or the place ahead, is free.
        case moved
        case due
        case closed
        /// The watch has ended, or could not keep up.
        case unwatched
    }

    private func event(
        _ ahead: String?, _ changes: StoreChanges, until end: Instant
    ) async throws -> Event {
        let awaited = ahead ?? keys.lock
        let (clock, closing) = (clock, sync.closing)
        return try await withThrowingTaskGroup(of: Event.self) { group in
            group.addTask {
                do {
                    while let change = try await changes.next() {
                        if change.key == awaited, !change.isWritten { return .moved }
                    }
                    return .unwatched
                } catch let error as MicroError where error.reason == "CHANGES_COMPACTED" {
                    return .unwatched
                }
            }
            group.addTask {
                try await clock.sleep(until: end)
                return .due
            }
            group.addTask {
                try await closing.wait()
                return .closed
            }
            defer { group.cancelAll() }
            return try await group.next() ?? .due
        }
    }
}

extension StoreChange {
    fileprivate var isWritten: Bool {
        if case .written = kind { true } else { false }
    }
}
