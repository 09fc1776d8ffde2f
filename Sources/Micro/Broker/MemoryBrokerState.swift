/// Everything a ``MemoryBroker`` knows, behind its lock. What has to happen outside of the lock is
/// collected as effects.
struct MemoryBrokerState {
    typealias Instant = EventLoopClock.Instant
    typealias Next = CheckedContinuation<Delivery?, any Error>
    typealias Published = CheckedContinuation<PublishReceipt, any Error>

    /// Something to resume when the lock is free.
    enum Effect {
        case delivered(Next, GroupStateMachine.Handout, group: UInt64)
        case ended(Next)
        case failed(Next, any Error)
        case published(Published, PublishReceipt)
        case refused(Published, any Error)
        case drained(CheckedContinuation<Void, Never>)
    }

    /// Who wants a message to be accepted.
    enum Origin {
        case publisher(Published)
        case schedule
        case deadLetter(group: UInt64, sequence: UInt64)
    }

    enum Admission {
        case accepted
        case mustWait(targets: [UInt64])
        case refused(MicroError)
    }

    private struct Pending {
        let message: Message
        let origin: Origin
        let arrival: UInt64
        var targets: [UInt64]
    }

    private struct GroupName: Hashable {
        let group: ExactKey
        let pattern: TopicPattern
    }

    private struct Member {
        let group: UInt64
        var parked: (call: UInt64, continuation: Next)?
        var drains: [(call: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
        var isLeaving = false
    }

    private struct Due: Comparable {
        enum Kind {
            case acknowledgement(group: UInt64, GroupStateMachine.Ticket)
            case redelivery(group: UInt64, sequence: UInt64)
            case publisher(UInt64)
            case scheduled(UInt64)
            case drain(member: UInt64, call: UInt64)
        }

        let at: Instant
        let order: UInt64
        let kind: Kind

        static func < (lhs: Due, rhs: Due) -> Bool {
            lhs.at == rhs.at ? lhs.order < rhs.order : lhs.at < rhs.at
        }

        static func == (lhs: Due, rhs: Due) -> Bool { lhs.order == rhs.order }
    }

    private(set) var isClosed = false
    private let environment: Environment
    private let limits: MemoryBrokerOptions
    private var effects: [Effect] = []
    private var lastID: UInt64 = 0

    private var groups: [UInt64: GroupStateMachine] = [:]
    /// In the order of creation, so that a run can be repeated.
    private var groupOrder: [UInt64] = []
    private var groupNames: [GroupName: UInt64] = [:]
    private var members: [UInt64: Member] = [:]
    private var memberOrder: [UInt64] = []
    private var routes: [ExactKey: [UInt64]] = [:]

    private var pending: [UInt64: Pending] = [:]
    /// Those that wait for the same groups, in order: when the first can't go, none of them can.
    /// May name some that don't wait any more, but not in the first place.
    private var queues: [[UInt64]: Fifo<UInt64>] = [:]
    private var scheduled: [UInt64: Message] = [:]
    private var dues = MinHeap<Due>()
    /// When to clear away deadlines that don't matter any more.
    private var duesBound = 1024

    init(environment: Environment, limits: MemoryBrokerOptions) {
        self.environment = environment
        self.limits = limits
    }

    // MARK: The outside

    mutating func newID() -> UInt64 {
        lastID &+= 1
        return lastID
    }

    mutating func refuse(_ continuation: Published, _ error: any Error) {
        effects.append(.refused(continuation, error))
    }

    mutating func refuse(_ continuation: Next, _ error: any Error) {
        effects.append(.failed(continuation, error))
    }

    mutating func takeEffects() -> [Effect] {
        defer { effects = [] }
        return effects
    }

    // MARK: Publishing

    /// Accepts a message, or queues it behind the others that wait for room until `deadline`.
    mutating func publish(
        _ message: Message, _ continuation: Published, call: UInt64, now: Instant, deadline: Instant
    ) {
        if isClosed {
            effects.append(.refused(continuation, MemoryBrokerState.closed("broker.publish")))
            return
        }
        if case .after(let delay) = message.delivery, delay > .zero {
            schedule(message, continuation, at: now.advanced(by: delay))
            return
        }
        switch admit(message, isInternal: false, now: now) {
        case .accepted:
            effects.append(.published(continuation, PublishReceipt(id: message.id)))
        case .refused(let error):
            effects.append(.refused(continuation, error))
        case .mustWait(let targets):
            guard deadline > now else {
                effects.append(.refused(continuation, timeout(message, targets)))
                return
            }
            guard pending.count < limits.maxPublishers else {
                let error = MicroError.resourceExhausted(
                    "broker.publish",
                    "\(pending.count) publishers wait for room already, and maxPublishers is "
                        + "\(limits.maxPublishers)",
                    reason: "TOO_MANY_PUBLISHERS")
                effects.append(.refused(continuation, error))
                return
            }
            enqueue(message, .publisher(continuation), id: call, targets: targets)
            due(.publisher(call), at: deadline)
        }
        admitPending(now: now)
    }

    /// A publisher doesn't want to wait any more.
    mutating func cancelPublish(_ call: UInt64) {
        guard case .publisher(let continuation) = removePending(call)?.origin else { return }
        effects.append(.refused(continuation, CancellationError()))
    }

    private mutating func schedule(
        _ message: Message, _ continuation: Published, at instant: Instant
    ) {
        guard scheduled.count < limits.maxScheduled else {
            let error = MicroError.resourceExhausted(
                "broker.publish",
                "\(scheduled.count) delayed messages wait already, and maxScheduled is "
                    + "\(limits.maxScheduled)",
                reason: "TOO_MANY_SCHEDULED")
            effects.append(.refused(continuation, error))
            return
        }
        let id = newID()
        scheduled[id] = message
        due(.scheduled(id), at: instant)
        effects.append(.published(continuation, PublishReceipt(id: message.id)))
    }

    /// Publishes what nobody waits for: it waits for room as long as it takes.
    private mutating func publish(_ message: Message, origin: Origin, now: Instant) {
        switch admit(message, isInternal: true, now: now) {
        case .accepted, .refused: finish(origin, now: now)
        case .mustWait(let targets): enqueue(message, origin, id: newID(), targets: targets)
        }
    }

    private mutating func finish(_ origin: Origin, now: Instant) {
        guard case .deadLetter(let group, let sequence) = origin else { return }
        groups[group]?.bury(sequence)
        // The next one of its key may be waiting for that.
        dispatch(group, now: now)
    }

    /// Gives the message to all groups that want it, or to none.
    private mutating func admit(_ message: Message, isInternal: Bool, now: Instant) -> Admission {
        let targets = route(message.topic)
        var mustWait = false
        for id in targets {
            guard let group = groups[id] else { continue }
            guard group.isFull else { continue }
            switch group.options.overflow {
            case .dropOldest: continue
            case .wait: mustWait = true
            case .refuse:
                if !isInternal { return .refused(full(message, group)) }
                mustWait = true
            }
        }
        if mustWait { return .mustWait(targets: targets) }
        deliver(message, to: targets, now: now)
        return .accepted
    }

    private mutating func deliver(_ message: Message, to targets: [UInt64], now: Instant) {
        var message = message
        message.delivery = .now
        let sequence = newID()
        for id in targets {
            groups[id]?.push(message, sequence: sequence)
            dispatch(id, now: now)
        }
    }

    private mutating func route(_ topic: String) -> [UInt64] {
        let key = ExactKey(topic)
        if let known = routes[key] { return known }
        let matching = groupOrder.filter { groups[$0]?.pattern.matches(topic) == true }
        // Topics come from outside: what is remembered of them has a bound.
        if routes.count >= 4096 { routes = [:] }
        routes[key] = matching
        return matching
    }

    // MARK: Messages that wait for room

    private mutating func enqueue(
        _ message: Message, _ origin: Origin, id: UInt64, targets: [UInt64]
    ) {
        pending[id] = Pending(
            message: message, origin: origin, arrival: newID(), targets: targets)
        queues[targets, default: Fifo()].append(id)
    }

    private mutating func removePending(_ id: UInt64) -> Pending? {
        guard let removed = pending.removeValue(forKey: id) else { return nil }
        let targets = removed.targets
        while let first = queues[targets]?.first, pending[first] == nil {
            _ = queues[targets]?.popFirst()
        }
        guard let queue = queues[targets] else { return removed }
        if queue.isEmpty {
            queues[targets] = nil
        } else if queue.count > 2 * pending.count + 64 {
            queues[targets]?.filter { pending[$0] != nil }
        }
        return removed
    }

    /// Lets in all that have room now, in the order in which they came.
    private mutating func admitPending(now: Instant) {
        while let id = firstAdmissible(), let item = removePending(id) {
            deliver(item.message, to: item.targets, now: now)
            finish(item.origin, now: now)
            if case .publisher(let continuation) = item.origin {
                effects.append(.published(continuation, PublishReceipt(id: item.message.id)))
            }
        }
    }

    /// Who waits for one slow group doesn't hold up those who wait for others.
    private func firstAdmissible() -> UInt64? {
        var first: (id: UInt64, arrival: UInt64)?
        for (targets, queue) in queues where targets.allSatisfy(hasRoom) {
            guard let id = queue.first, let arrival = pending[id]?.arrival else { continue }
            if arrival < first?.arrival ?? .max { first = (id, arrival) }
        }
        return first?.id
    }

    private func hasRoom(_ group: UInt64) -> Bool {
        guard let group = groups[group] else { return true }
        return !group.isFull || group.options.overflow == .dropOldest
    }

    /// After the set of groups has changed.
    private mutating func reroute() {
        routes = [:]
        queues = [:]
        for (id, item) in pending.sorted(by: { $0.value.arrival < $1.value.arrival }) {
            let targets = route(item.message.topic)
            pending[id]?.targets = targets
            queues[targets, default: Fifo()].append(id)
        }
    }

    // MARK: Subscribing

    /// Makes a member, and its group if it is the first.
    mutating func subscribe(
        _ pattern: TopicPattern, group name: String?, options: SubscriptionOptions
    ) throws(MicroError) -> UInt64 {
        if isClosed { throw MemoryBrokerState.closed("broker.subscribe") }
        let member = newID()
        let group = try group(pattern, name, options)
        groups[group]?.join(member, concurrency: options.concurrency)
        members[member] = Member(group: group)
        memberOrder.append(member)
        return member
    }

    private mutating func group(
        _ pattern: TopicPattern, _ name: String?, _ options: SubscriptionOptions
    ) throws(MicroError) -> UInt64 {
        let key = name.map { GroupName(group: ExactKey($0), pattern: pattern) }
        if let key, let known = groupNames[key], let group = groups[known] {
            guard group.options.agrees(with: options) else {
                throw .failedPrecondition(
                    "broker.subscribe",
                    "group \"\(name ?? "")\" on \(pattern) has other options: only concurrency may "
                        + "differ between members",
                    reason: "GROUP_OPTIONS_DIFFER")
            }
            return known
        }
        let id = newID()
        groups[id] = GroupStateMachine(group: name, pattern: pattern, options: options)
        groupOrder.append(id)
        if let key { groupNames[key] = id }
        reroute()
        return id
    }

    func dropped(_ member: UInt64) -> UInt64 {
        members[member].flatMap { groups[$0.group] }?.dropped ?? 0
    }

    /// A member waits for its next delivery.
    mutating func next(_ member: UInt64, _ continuation: Next, call: UInt64, now: Instant) {
        guard let state = members[member], !state.isLeaving else {
            effects.append(.ended(continuation))
            return
        }
        guard state.parked == nil else {
            let error = MicroError.failedPrecondition(
                "broker.next", "two tasks wait on one subscription: it has one consumer")
            effects.append(.failed(continuation, error))
            return
        }
        members[member]?.parked = (call, continuation)
        groups[state.group]?.await(member)
        dispatch(state.group, now: now)
        admitPending(now: now)
    }

    mutating func cancelNext(_ member: UInt64, call: UInt64) {
        guard let state = members[member], let parked = state.parked, parked.call == call else {
            return
        }
        members[member]?.parked = nil
        groups[state.group]?.giveUp(member)
        effects.append(.failed(parked.continuation, CancellationError()))
    }

    /// Hands out what can be handed out.
    private mutating func dispatch(_ group: UInt64, now: Instant) {
        while let handout = groups[group]?.handOut(now: now) {
            due(.acknowledgement(group: group, handout.ticket), at: handout.deadline)
            guard let parked = members[handout.member]?.parked else { continue }
            members[handout.member]?.parked = nil
            effects.append(.delivered(parked.continuation, handout, group: group))
        }
    }

    // MARK: Unsubscribing

    /// The member takes nothing more.
    mutating func retire(_ member: UInt64) {
        guard let state = members[member], !state.isLeaving else { return }
        members[member]?.isLeaving = true
        members[member]?.parked = nil
        groups[state.group]?.retire(member)
        if let parked = state.parked { effects.append(.ended(parked.continuation)) }
    }

    /// Calls back when the member has nothing out, or at the deadline.
    mutating func drain(
        _ member: UInt64, _ continuation: CheckedContinuation<Void, Never>, call: UInt64,
        deadline: Instant
    ) {
        guard let state = members[member], groups[state.group]?.isBusy(member) == true else {
            effects.append(.drained(continuation))
            return
        }
        members[member]?.drains.append((call, continuation))
        due(.drain(member: member, call: call), at: deadline)
    }

    mutating func cancelDrain(_ member: UInt64, call: UInt64) {
        guard let index = members[member]?.drains.firstIndex(where: { $0.call == call }) else {
            return
        }
        if let drain = members[member]?.drains.remove(at: index) {
            effects.append(.drained(drain.continuation))
        }
    }

    /// Takes the member out, and its group with the last one.
    mutating func leave(_ member: UInt64, now: Instant) {
        retire(member)
        guard let state = members.removeValue(forKey: member) else { return }
        memberOrder.removeAll { $0 == member }
        for drain in state.drains { effects.append(.drained(drain.continuation)) }
        groups[state.group]?.leave(member)
        if groups[state.group]?.hasMembers == false {
            remove(group: state.group)
        } else {
            dispatch(state.group, now: now)
        }
        admitPending(now: now)
    }

    private mutating func remove(group id: UInt64) {
        guard let group = groups.removeValue(forKey: id) else { return }
        groupOrder.removeAll { $0 == id }
        if let name = group.group {
            groupNames[GroupName(group: ExactKey(name), pattern: group.pattern)] = nil
        }
        reroute()
    }

    /// Ends everything that waits; deliveries that are out can still be settled.
    ///
    /// - Returns: The members, for them to be drained; nil when the broker was closed before.
    mutating func close() -> [UInt64]? {
        if isClosed { return nil }
        isClosed = true
        scheduled = [:]
        for (id, item) in pending.sorted(by: { $0.value.arrival < $1.value.arrival }) {
            guard case .publisher(let continuation) = item.origin else { continue }
            _ = removePending(id)
            effects.append(.refused(continuation, MemoryBrokerState.closed("broker.publish")))
        }
        for member in memberOrder { retire(member) }
        return memberOrder
    }

    // MARK: Settling

    mutating func acknowledge(
        _ group: UInt64, _ ticket: GroupStateMachine.Ticket, member: UInt64, now: Instant
    ) throws(MicroError) {
        try settle(group, member, now: now) { machine, _ throws(GroupStateMachine.Refusal) in
            try machine.acknowledge(ticket)
            return nil
        }
    }

    mutating func retry(
        _ group: UInt64, _ ticket: GroupStateMachine.Ticket, member: UInt64, after delay: Duration?,
        reason: String, now: Instant
    ) throws(MicroError) {
        try settle(group, member, now: now) { machine, random throws(GroupStateMachine.Refusal) in
            try machine.retry(ticket, after: delay, reason: reason, now: now, random: random)
        }
    }

    mutating func discard(
        _ group: UInt64, _ ticket: GroupStateMachine.Ticket, member: UInt64, reason: String,
        now: Instant
    ) throws(MicroError) {
        try settle(group, member, now: now) { machine, _ throws(GroupStateMachine.Refusal) in
            try machine.discard(ticket, reason: reason)
        }
    }

    private mutating func settle(
        _ group: UInt64, _ member: UInt64, now: Instant,
        _ body: (inout GroupStateMachine, UInt64) throws(GroupStateMachine.Refusal) ->
            GroupStateMachine.Failure?
    ) throws(MicroError) {
        let random = environment.random()
        // Taken out, so that it is changed in place.
        guard var machine = groups.removeValue(forKey: group) else {
            throw MemoryBrokerState.refusal(.expired)
        }
        let failure: GroupStateMachine.Failure?
        do throws(GroupStateMachine.Refusal) {
            failure = try body(&machine, random)
        } catch {
            groups[group] = machine
            throw MemoryBrokerState.refusal(error)
        }
        groups[group] = machine
        if let failure { handle(failure, group: group, now: now) }
        settled(group, member, now: now)
    }

    private mutating func handle(
        _ failure: GroupStateMachine.Failure, group: UInt64, now: Instant
    ) {
        switch failure {
        case .redeliver(let sequence, let instant):
            if instant > now {
                due(.redelivery(group: group, sequence: sequence), at: instant)
            } else {
                groups[group]?.ripen(sequence)
            }
        case .dead(let sequence, let letter):
            publish(letter, origin: .deadLetter(group: group, sequence: sequence), now: now)
        case .dropped: break
        }
    }

    private mutating func settled(_ group: UInt64, _ member: UInt64, now: Instant) {
        if groups[group]?.isBusy(member) == false, let drains = members[member]?.drains {
            members[member]?.drains = []
            for drain in drains { effects.append(.drained(drain.continuation)) }
        }
        dispatch(group, now: now)
        admitPending(now: now)
    }

    // MARK: Time

    /// When the alarm has to ring.
    mutating func nextAlarm() -> Instant? {
        if dues.count > duesBound {
            dues.filter(isLive)
            duesBound = max(1024, 2 * dues.count)
        }
        while let first = dues.first, !isLive(first) { _ = dues.popFirst() }
        return dues.first?.at
    }

    /// Handles all that is due.
    mutating func tick(now: Instant) {
        while let first = dues.first, first.at <= now, let due = dues.popFirst() {
            switch due.kind {
            case .acknowledgement(let group, let ticket):
                let random = environment.random()
                let member = groups[group]?.holder(of: ticket)
                if let member, let failure = groups[group]?.expire(ticket, now: now, random: random)
                {
                    handle(failure, group: group, now: now)
                    settled(group, member, now: now)
                }
            case .redelivery(let group, let sequence):
                groups[group]?.ripen(sequence)
                dispatch(group, now: now)
            case .publisher(let call):
                guard let item = removePending(call) else { continue }
                guard case .publisher(let continuation) = item.origin else { continue }
                effects.append(.refused(continuation, timeout(item.message, item.targets)))
            case .scheduled(let id):
                guard let message = scheduled.removeValue(forKey: id) else { continue }
                publish(message, origin: .schedule, now: now)
            case .drain(let member, let call):
                cancelDrain(member, call: call)
            }
        }
        admitPending(now: now)
    }

    private mutating func due(_ kind: Due.Kind, at instant: Instant) {
        dues.push(Due(at: instant, order: newID(), kind: kind))
    }

    private func isLive(_ due: Due) -> Bool {
        switch due.kind {
        case .acknowledgement(let group, let ticket): groups[group]?.isOut(ticket) == true
        case .redelivery(let group, let sequence): groups[group]?.isDelayed(sequence) == true
        case .publisher(let call): pending[call] != nil
        case .scheduled(let id): scheduled[id] != nil
        case .drain(let member, let call):
            members[member]?.drains.contains { $0.call == call } == true
        }
    }

    // MARK: Errors

    static func closed(_ id: String) -> MicroError {
        .unavailable(id, "the broker is closed", reason: "BROKER_CLOSED")
    }

    private static func refusal(_ refusal: GroupStateMachine.Refusal) -> MicroError {
        switch refusal {
        case .settled:
            .failedPrecondition(
                "broker.settle", "this delivery is settled already", reason: "DELIVERY_SETTLED")
        case .expired:
            .failedPrecondition(
                "broker.settle",
                "this delivery was not settled in time: the message is delivered again",
                reason: "DELIVERY_EXPIRED")
        }
    }

    private func full(_ message: Message, _ group: GroupStateMachine) -> MicroError {
        let name = group.group.map { "group \"\($0)\"" } ?? "a subscription"
        return .resourceExhausted(
            "broker.publish",
            "\(name) on \(group.pattern) is full (\(group.options.capacity) messages wait), and "
                + "refuses \(message.topic)",
            reason: "QUEUE_FULL")
    }

    private func timeout(_ message: Message, _ targets: [UInt64]) -> MicroError {
        let slow = targets.compactMap { groups[$0] }.first { $0.isFull }
        let name = slow.map { group in
            (group.group.map { "group \"\($0)\"" } ?? "a subscription") + " on \(group.pattern)"
        }
        return .timeout(
            "broker.publish",
            "no room for \(message.topic) in time: \(name ?? "a subscription") is too slow",
            reason: "PUBLISH_TIMEOUT")
    }
}
