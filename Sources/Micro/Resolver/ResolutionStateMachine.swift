/// What a ``RegisterResolver`` knows of one service: pure, time is an argument.
///
/// Nodes that a register loses all at once, or more than half of them, as one does that was deleted
/// and made anew, are held on to for a while: they will announce themselves again, and until then
/// calls had better try them than fail, or all go to the first that came back. A node that is
/// reported as removed is gone at once.
struct ResolutionStateMachine: Sendable {
    private var view = ServiceView()
    private var held: [ServiceNode] = []
    private var lostSince: EventLoopClock.Instant?
    private var acceptsAnything = true
    private var grace: UInt64 = 0
    private(set) var nodes: [ResolvedNode] = []

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

    /// How long ago contact with the register was lost.
    func age(now: EventLoopClock.Instant) -> Duration {
        lostSince.map { max(.zero, $0.duration(to: now)) } ?? .zero
    }

    /// The next snapshot was asked for, so it is taken as it is.
    mutating func expectRefresh() { acceptsAnything = true }

    mutating func apply(
        _ change: RegisterEvent.Change, now: EventLoopClock.Instant
    ) -> Effect {
        let former = view.nodes
        let isFirst = !view.isLoaded
        view.apply(change)
        var effect = Effect()
        switch change {
        case .interrupted(let error):
            interrupt(error, now: now)
            return effect
        case .snapshot(let nodes):
            let keys = Set(nodes.map(\.key))
            let missing = former.filter { !keys.contains($0.key) }
            if !acceptsAnything, missing.count * 2 > former.count {
                held += missing
                grace += 1
                effect.grace = grace
            } else if acceptsAnything {
                held = []
            }
            acceptsAnything = false
        case .added, .updated, .removed: break
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
        guard number == grace else { return false }
        held = []
        return update()
    }

    private mutating func update() -> Bool {
        let known = view.nodes
        let keys = Set(known.map(\.key))
        held.removeAll { keys.contains($0.key) }
        let all = (known + held).sorted(by: ServiceRecord.order)
        // An id is unique only within its namespace.
        let isMixed = Set(all.map(\.namespace)).count > 1
        let next = all.map { node in
            var resolved = ResolvedNode(node)
            if isMixed { resolved.id = "\(node.namespace)/\(node.id)" }
            return resolved
        }
        defer { nodes = next }
        return next != nodes
    }
}
