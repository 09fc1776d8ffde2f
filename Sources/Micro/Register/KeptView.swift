/// What is remembered of a register, and held on to when the register itself may be mistaken: pure,
/// time is an argument.
///
/// Nodes that a register loses all at once, or more than half of them, as one does that was deleted
/// and made anew, are held on to for a while: they will announce themselves again, and until then
/// calls had better try them than fail. A node that is reported as removed is gone at once.
struct KeptView: Sendable {
    private var view = ServiceView()
    /// Nodes that were lost, and the number of the grace that each has.
    private var held: [ServiceNode.Key: (node: ServiceNode, grace: UInt64)] = [:]
    private var lostSince: EventLoopClock.Instant?
    private var acceptsAnything = true
    private var lastGrace: UInt64 = 0
    private let nodesMax: Int
    /// By version and id.
    private(set) var nodes: [ServiceNode] = []

    /// Whether the nodes were ever known.
    var isLoaded: Bool { view.isLoaded }
    /// Why the register cannot be reached now.
    private(set) var interruption: MicroError?

    /// What has to be done after an event.
    struct Effect: Sendable, Hashable {
        /// The nodes are different, or known for the first time.
        var isChanged = false
        /// Call ``endGrace(_:)`` with this number when the grace is over.
        var grace: UInt64?
    }

    /// - Parameter nodesMax: More nodes are not taken: what was known stays.
    init(nodesMax: Int = .max) { self.nodesMax = nodesMax }

    /// How long ago contact with the register was lost.
    func age(now: EventLoopClock.Instant) -> Duration {
        lostSince.map { max(.zero, $0.duration(to: now)) } ?? .zero
    }

    /// The next snapshot was asked for, so it is taken as it is.
    mutating func expectRefresh() { acceptsAnything = true }

    mutating func apply(
        _ change: RegisterEvent.Change, now: EventLoopClock.Instant
    ) -> Effect {
        if let error = refusal(of: change) {
            interrupt(error, now: now)
            return Effect()
        }
        let isFirst = !view.isLoaded
        view.apply(change)
        var effect = Effect()
        switch change {
        case .interrupted(let error):
            interrupt(error, now: now)
            return effect
        case .snapshot: effect.grace = takeSnapshot()
        case .removed(let node): held[node.key] = nil
        case .added, .updated: break
        }
        lostSince = nil
        interruption = nil
        effect.isChanged = update() || (isFirst && view.isLoaded)
        return effect
    }

    /// Contact with the register was lost.
    mutating func interrupt(_ error: MicroError, now: EventLoopClock.Instant) {
        interruption = error
        if lostSince == nil { lostSince = now }
    }

    /// The time to come back is over. - Returns: Whether the nodes are different.
    mutating func endGrace(_ number: UInt64) -> Bool {
        held = held.filter { $0.value.grace != number }
        return update()
    }

    /// Holds on to those that a snapshot lacks, if they are many: ``nodes`` is as before it.
    ///
    /// - Returns: The number of a grace that begins.
    private mutating func takeSnapshot() -> UInt64? {
        defer { acceptsAnything = false }
        guard !acceptsAnything else {
            held = [:]
            return nil
        }
        let former = nodes.filter { held[$0.key] == nil }
        let missing = former.filter { !view.contains($0.key) }
        // Half of the nodes may well go in a moment; more than that is the register's mistake.
        guard missing.count > former.count / 2 else { return nil }
        lastGrace += 1
        for node in missing { held[node.key] = (node, lastGrace) }
        return lastGrace
    }

    private func refusal(of change: RegisterEvent.Change) -> MicroError? {
        let count: Int
        switch change {
        case .snapshot(let nodes): count = nodes.count
        case .added(let node), .updated(let node):
            count = view.contains(node.key) ? 0 : view.count + 1
        case .removed, .interrupted: return nil
        }
        guard count > nodesMax else { return nil }
        return .resourceExhausted(
            "register", "there are \(count) nodes, and only \(nodesMax) are kept")
    }

    private mutating func update() -> Bool {
        let known = view.nodes
        for node in known { held[node.key] = nil }
        let next =
            held.isEmpty
            ? known : (known + held.values.map(\.node)).sorted(by: ServiceRecord.order)
        defer { nodes = next }
        return next != nodes
    }
}
