internal import Synchronization

/// Keeps a lease alive while a body runs, and cancels the body when it can't.
struct LeaseKeeper<Owner: Sync>: Sendable {
    enum Outcome<T: Sendable>: Sendable {
        /// The body has ended, and the lease was held all the time.
        case ended(Result<T, any Error>)
        /// The lease was lost before the body had ended.
        case lost
    }

    private enum Part<T: Sendable>: Sendable {
        case body(Result<T, any Error>)
        case lost
        case stopped
    }

    private final class Current: Sendable {
        let lease: Mutex<Lease>
        init(_ lease: Lease) { self.lease = Mutex(lease) }
    }

    private let sync: Owner
    private let clock: EventLoopClock
    private let first: Lease
    private let current: Current

    init(sync: Owner, lease: Lease) {
        self.sync = sync
        self.clock = lease.clock
        self.first = lease
        self.current = Current(lease)
    }

    func run<T: Sendable>(_ body: @escaping @Sendable (Lease) async throws -> T) async -> Outcome<T>
    {
        let outcome: Outcome<T> = await withTaskGroup(of: Part<T>.self) { group in
            group.addTask {
                do {
                    return .body(.success(try await body(first)))
                } catch {
                    return .body(.failure(error))
                }
            }
            group.addTask { await renew() ? .lost : .stopped }
            group.addTask { await watchExpiry() ? .lost : .stopped }
            var outcome: Outcome<T>?
            // All parts are waited for: the body may still write when its lease is lost.
            for await part in group {
                switch part {
                case .body(let result): outcome = outcome ?? .ended(result)
                case .lost: outcome = outcome ?? .lost
                case .stopped: continue
                }
                group.cancelAll()
            }
            return outcome ?? .lost
        }
        guard case .ended = outcome else { return outcome }
        return await release() ? outcome : .lost
    }

    /// Renews until it is cancelled.
    ///
    /// - Returns: Whether the lease was lost.
    private func renew() async -> Bool {
        var wait = first.ttl / 3
        while true {
            do { try await clock.sleep(for: wait) } catch { return false }
            do {
                let renewed = try await sync.renew(current.lease.withLock { $0 })
                current.lease.withLock { $0 = renewed }
                wait = first.ttl / 3
            } catch let error as MicroError where error.reason == "LEASE_LOST" {
                return !Task.isCancelled
            } catch {
                // Not known: it may work the next time, before the lease ends.
                if Task.isCancelled { return false }
                wait = first.ttl / 10
            }
        }
    }

    /// Waits until the lease is about to end, renewed as often as it may be: a renewal that hangs
    /// must not keep the body running.
    ///
    /// - Returns: Whether that came; false when it was cancelled before.
    private func watchExpiry() async -> Bool {
        while true {
            let lease = current.lease.withLock { $0 }
            // Before others get it: the body needs a moment to end.
            let end = lease.expiry.advanced(by: .zero - lease.ttl.safetyMargin)
            if end <= clock.now { return true }
            do { try await clock.sleep(until: end) } catch { return false }
        }
    }

    /// - Returns: false when the lease turned out to be lost.
    private func release() async -> Bool {
        let lease = current.lease.withLock { $0 }
        guard Task.isCancelled else { return await release(lease) }
        // A cancelled task can't wait for an answer; one that isn't can do it in its place.
        let answer = ReleaseAnswer()
        await sync.environment.spawn { answer.set(await release(lease)) }.wait()
        return answer.isReleased
    }

    private func release(_ lease: Lease) async -> Bool {
        do {
            try await sync.release(lease)
        } catch let error as MicroError where error.reason == "LEASE_LOST" {
            return false
        } catch {
            // Nobody knows; the lock is free when the lease ends.
        }
        return true
    }
}

private final class ReleaseAnswer: Sendable {
    private let value = Mutex(true)
    var isReleased: Bool { value.withLock { $0 } }
    func set(_ answer: Bool) { value.withLock { $0 = answer } }
}
