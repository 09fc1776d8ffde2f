internal import Synchronization

/// How a router says that its answers are different from now on. Any thread.
public final class RouteChanges: Sendable {
    private struct State {
        var count: UInt64 = 0
        var last: UInt64 = 0
        var followers: [UInt64: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    /// Nothing has changed yet.
    public init() {}

    /// How often it was told of a change.
    public var count: UInt64 { state.withLock { $0.count } }

    /// Tells everybody who follows. To be called after the change, and without a lock.
    public func tell() {
        let followers = state.withLock { state in
            state.count += 1
            return state.followers.sorted { $0.key < $1.key }.map(\.value)
        }
        for follower in followers { follower() }
    }

    /// Calls `body` after each change, on the thread that has made it, for as long as the follower
    /// lives.
    public func follow(_ body: @escaping @Sendable () -> Void) -> RouteFollower {
        let id = state.withLock { state in
            state.last += 1
            state.followers[state.last] = body
            return state.last
        }
        return RouteFollower(id: id, changes: self)
    }

    fileprivate func leave(_ id: UInt64) {
        state.withLock { _ = $0.followers.removeValue(forKey: id) }
    }
}

/// Who is told of the changes of a router, until it goes.
public final class RouteFollower: Sendable {
    private let id: UInt64
    private let changes: RouteChanges

    fileprivate init(id: UInt64, changes: RouteChanges) {
        self.id = id
        self.changes = changes
    }

    deinit { changes.leave(id) }
}
