/// Something that happened to a ``RouteTable``, as a watcher sees it.
public struct RouteEvent: Sendable, Hashable {
    /// What happened.
    public enum Change: Sendable, Hashable {
        /// All routes there are now. The first thing that a watch knows, and what it goes on with
        /// after it was too slow to be told each change.
        case snapshot([Route])
        /// A route came.
        case created(Route)
        /// Something about a route is different.
        case updated(Route)
        /// A route went.
        case deleted(Route)
    }

    /// What happened.
    public var change: Change
    /// The table's revision after it.
    public var revision: UInt64

    /// - Parameters:
    ///   - change: What happened.
    ///   - revision: The table's revision after it.
    public init(_ change: Change, revision: UInt64) {
        self.change = change
        self.revision = revision
    }

    var route: Route? {
        switch change {
        case .snapshot: nil
        case .created(let route), .updated(let route), .deleted(let route): route
        }
    }
}

/// What a watcher of a ``RouteTable`` sees: first a snapshot, then every change in order. It has no
/// queue: each iterator looks into the table, at its own pace.
public struct RouteEvents: AsyncSequence, Sendable {
    let table: RouteTable
    let query: RouteTable.Query

    /// A consumer of the events.
    public func makeAsyncIterator() -> Iterator { Iterator(table: table, query: query) }

    /// A consumer of the events.
    public struct Iterator: AsyncIteratorProtocol {
        private let table: RouteTable
        private let query: RouteTable.Query
        private let bell = WakeUp()
        private let follower: RouteFollower
        private var revision: UInt64?

        fileprivate init(table: RouteTable, query: RouteTable.Query) {
            self.table = table
            self.query = query
            self.follower = table.changes.follow { [bell] in bell.ring() }
        }

        /// The next event; nil when the task was cancelled.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(Never) -> RouteEvent? {
            while !Task.isCancelled {
                if let event = table.event(after: &revision, query) { return event }
                await bell.wait()
            }
            return nil
        }

        /// The next event; nil when the task was cancelled.
        public mutating func next() async -> RouteEvent? { await next(isolation: nil) }
    }
}
