internal import Synchronization

/// Whether a service does its work.
public enum HealthStatus: Sendable, Hashable {
    /// Calls may come.
    case serving
    /// Calls should go elsewhere.
    case notServing
}

/// What a server says about itself by the gRPC health protocol, `grpc.health.v1`: to load
/// balancers, to probes of an orchestrator, and to gRPC clients that watch.
///
/// "" stands for the whole server, each other name for a service that it serves: "greeter",
/// "greeter.Greeter", "package.Service". All of them are serving while the server is ready, unless
/// ``set(_:_:)`` says otherwise about one; none of them is before, and from the moment on that it
/// begins to end. Safe to use from any thread.
public final class Health: Sendable {
    /// Tells the changes of one status; a slow reader gets the last one only.
    struct Watch: Sendable {
        fileprivate let id: UInt64
        let changes: BoundedChannel<ServingStatus>
    }

    private struct Watched {
        let service: String
        var last: ServingStatus
        let changes: BoundedChannel<ServingStatus>
    }

    private struct State {
        var isReady: @Sendable () -> Bool = { false }
        var hasEnded = false
        var served: Set<String> = [""]
        var given: [String: HealthStatus] = [:]
        var watches: [UInt64: Watched] = [:]
        var lastID: UInt64 = 0

        func status(of service: String) -> ServingStatus {
            guard given[service] != nil || served.contains(service) else { return .serviceUnknown }
            guard isServing, given[service] != .notServing else { return .notServing }
            return .serving
        }

        private var isServing: Bool { !hasEnded && isReady() }

        /// Tells those who watch what has changed.
        mutating func tell() {
            for (id, watched) in watches {
                let status = status(of: watched.service)
                guard status != watched.last else { continue }
                watches[id]?.last = status
                _ = watched.changes.replaceOldest(with: status)
            }
        }
    }

    /// Nobody calls a service by a longer name.
    private static let nameBytesMax = 1024

    private let watchesMax: Int
    private let state = Mutex(State())

    init(watchesMax: Int) { self.watchesMax = watchesMax }

    /// Says how a service does, from now on. It counts while the server is ready.
    ///
    /// - Parameter service: "" for the whole server; a name that is not served becomes known by it.
    public func set(_ service: String, _ status: HealthStatus) {
        state.withLock { state in
            state.given[service] = status
            state.tell()
        }
    }

    /// What callers are told at present; nil when there is no such service.
    public func status(of service: String = "") -> HealthStatus? {
        switch servingStatus(of: service) {
        case .serving: .serving
        case .notServing, .unknown: .notServing
        case .serviceUnknown: nil
        }
    }

    func servingStatus(of service: String) -> ServingStatus {
        state.withLock { $0.status(of: service) }
    }

    /// All that is known.
    var all: [String: ServingStatus] {
        state.withLock { state in
            let names = state.served.union(state.given.keys)
            return Dictionary(uniqueKeysWithValues: names.map { ($0, state.status(of: $0)) })
        }
    }

    // MARK: Told by the server

    /// - Parameter services: What is served.
    func begin(serving services: Set<String>) {
        state.withLock { state in
            state.served = services.union([""])
            state.tell()
        }
    }

    /// - Parameter isReady: Whether the server takes calls. It is called under a lock, and must not
    ///   come back here. When its answer changes, ``refresh()`` has to be called.
    func follow(_ isReady: @escaping @Sendable () -> Bool) {
        state.withLock { $0.isReady = isReady }
    }

    /// The server may have become ready, or be so no more.
    func refresh() { state.withLock { $0.tell() } }

    /// Nothing is serving any more: who watches is told so, and then the end, so that nobody keeps
    /// the server from ending.
    func end() {
        let watches = state.withLock { state in
            state.hasEnded = true
            state.tell()
            return state.watches.values
        }
        for watched in watches { watched.changes.finish() }
    }

    // MARK: Watching

    /// The status of a service, now and after each change. ``close(_:)`` must follow.
    ///
    /// - Throws: ``MicroError`` resourceExhausted when too many watch; invalidArgument for a name
    ///   that is too long to be one.
    func watch(_ service: String) throws(MicroError) -> Watch {
        guard service.utf8.count <= Self.nameBytesMax else {
            throw MicroError.invalid(
                "health.watch", "the service's name is longer than \(Self.nameBytesMax) bytes",
                at: "service")
        }
        let changes = BoundedChannel<ServingStatus>(capacity: 1)
        let watch: Watch? = state.withLock { state in
            guard state.watches.count < watchesMax else { return nil }
            state.lastID &+= 1
            let status = state.status(of: service)
            _ = changes.offer(status)
            if state.hasEnded {
                changes.finish()
            } else {
                state.watches[state.lastID] = Watched(
                    service: service, last: status, changes: changes)
            }
            return Watch(id: state.lastID, changes: changes)
        }
        guard let watch else {
            throw MicroError.resourceExhausted(
                "health.watch",
                "\(watchesMax) callers watch the health of this server already: Check it instead, "
                    + "or raise maxHealthWatchers in its options")
        }
        return watch
    }

    func close(_ watch: Watch) {
        state.withLock { $0.watches[watch.id] = nil }
        watch.changes.abandon()
    }
}
