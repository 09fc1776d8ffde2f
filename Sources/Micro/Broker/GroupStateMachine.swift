/// The queue of one group, or of one subscription without a group: which message goes to which
/// member, in what order, and what becomes of it. Pure: no time of its own, no waiting.
///
/// Messages of one key form a lane. Only the head of a lane can be delivered, and it stays the head
/// until it is done, so that a key is in order even when one of its messages fails.
struct GroupStateMachine {
    typealias Instant = EventLoopClock.Instant

    /// One delivery, to be made or settled.
    struct Ticket: Hashable {
        /// Of the message, in the broker's order.
        let sequence: UInt64
        /// Of the delivery: a message that is delivered again has another one.
        let number: UInt64
    }

    /// A delivery that a member gets now.
    struct Handout {
        let member: UInt64
        let ticket: Ticket
        let message: Message
        let deliveries: Int
        let deadline: Instant
    }

    /// What became of a delivery that failed.
    enum Failure {
        /// It is delivered again from then on: ``ripen(_:)``.
        case redeliver(sequence: UInt64, at: Instant)
        /// It was given up; the letter has to be published, and then ``bury(_:)`` called.
        case dead(sequence: UInt64, letter: Message)
        /// It was given up, and nothing is left to do.
        case dropped
    }

    /// Why a delivery can't be settled.
    enum Refusal: Error { case settled, expired }

    private enum Phase {
        case ready
        /// Behind another message of its key.
        case blocked
        case delayed
        case out(number: UInt64, member: UInt64)
        /// Its dead letter waits to be accepted.
        case dying
    }

    private struct Entry {
        var message: Message
        var phase: Phase
        var deliveries = 0
        var reason = ""
        /// The last delivery that somebody may settle: others have expired.
        var number: UInt64 = 0
    }

    private struct Lane: Hashable {
        let topic: ExactKey
        let key: ExactKey
    }

    private struct Member {
        let concurrency: Int
        var out: Set<UInt64> = []
        var isWaiting = false
        var isLeaving = false
        /// Whether ``turns`` names it.
        var isInTurns = false
    }

    let group: String?
    let pattern: TopicPattern
    let options: SubscriptionOptions
    private(set) var dropped: UInt64 = 0

    private var entries: [UInt64: Entry] = [:]
    private var lanes: [Lane: Fifo<UInt64>] = [:]
    private var ready = Fifo<UInt64>()
    /// For dropping the oldest; kept only by groups that do.
    private var arrivals = Fifo<UInt64>()
    private var members: [UInt64: Member] = [:]
    /// Members that wait for a delivery, in turn. May name some that don't any more.
    private var turns = Fifo<UInt64>()
    /// How many deliveries are out.
    private var out = 0
    private var lastNumber: UInt64 = 0

    init(group: String?, pattern: TopicPattern, options: SubscriptionOptions) {
        self.group = group
        self.pattern = pattern
        self.options = options
    }

    // MARK: Messages in

    /// How many messages wait: for a delivery, or for their dead letter to be accepted.
    var waiting: Int { entries.count - out }

    var isFull: Bool { waiting >= options.capacity }

    /// Queues a message. The caller has looked for room, unless the oldest gives way.
    mutating func push(_ message: Message, sequence: UInt64) {
        if options.overflow == .dropOldest {
            if isFull, !dropOldest() {
                // All that wait are dead letters in the making: the new one is the only one to
                // drop.
                dropped &+= 1
                return
            }
            arrivals.append(sequence)
        }
        var entry = Entry(message: message, phase: .ready)
        if let lane = lane(of: message) {
            if lanes[lane] != nil { entry.phase = .blocked }
            lanes[lane, default: Fifo()].append(sequence)
        }
        if case .ready = entry.phase { ready.append(sequence) }
        entries[sequence] = entry
    }

    private mutating func dropOldest() -> Bool {
        var busy: [UInt64] = []
        defer { for sequence in busy.reversed() { arrivals.prepend(sequence) } }
        while let sequence = arrivals.popFirst() {
            guard let entry = entries[sequence] else { continue }
            switch entry.phase {
            case .out, .dying: busy.append(sequence)
            case .ready, .blocked, .delayed:
                dropped &+= 1
                remove(sequence, entry)
                return true
            }
        }
        return false
    }

    private func lane(of message: Message) -> Lane? {
        message.key.map { Lane(topic: ExactKey(message.topic), key: ExactKey($0)) }
    }

    /// Takes a message out, and lets the next of its key move up.
    private mutating func remove(_ sequence: UInt64, _ entry: Entry) {
        entries[sequence] = nil
        compact()
        guard let lane = lane(of: entry.message), let head = lanes[lane]?.first else { return }
        guard head == sequence else {
            _ = lanes[lane]?.removeFirst { $0 == sequence }
            return
        }
        _ = lanes[lane]?.popFirst()
        if let next = lanes[lane]?.first { makeReady(next) } else { lanes[lane] = nil }
    }

    private mutating func makeReady(_ sequence: UInt64) {
        guard entries[sequence] != nil else { return }
        entries[sequence]?.phase = .ready
        ready.append(sequence)
    }

    /// Keeps what the queues still name of removed messages within bounds.
    private mutating func compact() {
        let bound = 2 * entries.count + 64
        if ready.count > bound { ready.filter { entries[$0] != nil } }
        if arrivals.count > bound { arrivals.filter { entries[$0] != nil } }
    }

    // MARK: Members

    var hasMembers: Bool { !members.isEmpty }

    mutating func join(_ member: UInt64, concurrency: Int) {
        members[member] = Member(concurrency: concurrency)
    }

    /// The member takes nothing more.
    mutating func retire(_ member: UInt64) {
        members[member]?.isLeaving = true
        members[member]?.isWaiting = false
    }

    /// Whether the member has deliveries out.
    func isBusy(_ member: UInt64) -> Bool { members[member]?.out.isEmpty == false }

    /// Takes the member out; what it had out goes to others, in the order of publishing, and is not
    /// counted as delivered.
    mutating func leave(_ member: UInt64) {
        guard let gone = members.removeValue(forKey: member) else { return }
        for sequence in gone.out.sorted(by: >) {
            guard let entry = entries[sequence] else { continue }
            out -= 1
            entries[sequence]?.deliveries = entry.deliveries - 1
            entries[sequence]?.number = 0
            entries[sequence]?.phase = .ready
            ready.prepend(sequence)
        }
    }

    /// The member waits for a delivery.
    mutating func await(_ member: UInt64) {
        guard members[member]?.isLeaving == false else { return }
        members[member]?.isWaiting = true
        line(up: member)
    }

    private mutating func line(up member: UInt64) {
        guard members[member]?.isInTurns == false else { return }
        members[member]?.isInTurns = true
        turns.append(member)
    }

    /// The member doesn't wait any more.
    mutating func giveUp(_ member: UInt64) { members[member]?.isWaiting = false }

    // MARK: Messages out

    /// The next delivery, if a message is ready and a member with a free place waits for it.
    mutating func handOut(now: Instant) -> Handout? {
        guard let sequence = nextReady(), let member = nextMember() else { return nil }
        guard var entry = entries[sequence] else { return nil }
        _ = ready.popFirst()
        lastNumber &+= 1
        entry.deliveries += 1
        entry.number = lastNumber
        entry.phase = .out(number: lastNumber, member: member)
        entries[sequence] = entry
        out += 1
        members[member]?.out.insert(sequence)
        members[member]?.isWaiting = false
        return Handout(
            member: member, ticket: Ticket(sequence: sequence, number: lastNumber),
            message: entry.message, deliveries: entry.deliveries,
            deadline: now.advanced(by: options.ackTimeout))
    }

    private mutating func nextReady() -> UInt64? {
        while let sequence = ready.first {
            if case .ready = entries[sequence]?.phase { return sequence }
            _ = ready.popFirst()
        }
        return nil
    }

    private mutating func nextMember() -> UInt64? {
        var full: [UInt64] = []
        defer { for id in full { line(up: id) } }
        while let id = turns.popFirst() {
            members[id]?.isInTurns = false
            guard let member = members[id], member.isWaiting else { continue }
            if member.out.count < member.concurrency { return id }
            full.append(id)
        }
        return nil
    }

    // MARK: Settling

    mutating func acknowledge(_ ticket: Ticket) throws(Refusal) {
        let entry = try takeBack(ticket)
        remove(ticket.sequence, entry)
    }

    /// The delivery failed; `delay` nil means the backoff with `random`.
    mutating func retry(
        _ ticket: Ticket, after delay: Duration?, reason: String, now: Instant, random: UInt64
    ) throws(Refusal) -> Failure {
        var entry = try takeBack(ticket)
        entry.reason = reason
        let isDeadLetter = DeadLetter.isDeadLetter(topic: entry.message.topic)
        if let limit = options.maxDeliveries, entry.deliveries >= limit, !isDeadLetter {
            return giveUp(ticket.sequence, entry)
        }
        let wait = delay ?? options.backoff.delay(after: entry.deliveries, random: random)
        entry.phase = .delayed
        entries[ticket.sequence] = entry
        return .redeliver(sequence: ticket.sequence, at: now.advanced(by: max(.zero, wait)))
    }

    /// The deadline of the delivery has passed: nil when it was settled in time.
    mutating func expire(_ ticket: Ticket, now: Instant, random: UInt64) -> Failure? {
        guard isOut(ticket) else { return nil }
        let failure = try? retry(
            ticket, after: nil, reason: "not settled within \(options.ackTimeout)", now: now,
            random: random)
        entries[ticket.sequence]?.number = 0
        return failure
    }

    /// The message can't be processed.
    mutating func discard(_ ticket: Ticket, reason: String) throws(Refusal) -> Failure {
        var entry = try takeBack(ticket)
        entry.reason = reason
        return giveUp(ticket.sequence, entry)
    }

    private mutating func giveUp(_ sequence: UInt64, _ entry: Entry) -> Failure {
        let letter = DeadLetter.of(
            entry.message, reason: entry.reason, deliveries: entry.deliveries, pattern: pattern,
            group: group)
        guard let letter else {
            remove(sequence, entry)
            return .dropped
        }
        entries[sequence]?.phase = .dying
        return .dead(sequence: sequence, letter: letter)
    }

    /// The dead letter of the message is accepted.
    mutating func bury(_ sequence: UInt64) {
        guard let entry = entries[sequence], case .dying = entry.phase else { return }
        remove(sequence, entry)
    }

    /// The wait before the next delivery of the message is over.
    mutating func ripen(_ sequence: UInt64) {
        guard case .delayed = entries[sequence]?.phase else { return }
        makeReady(sequence)
    }

    /// Whether the delivery is out: its deadline still matters.
    func isOut(_ ticket: Ticket) -> Bool {
        guard case .out(let number, _) = entries[ticket.sequence]?.phase else { return false }
        return number == ticket.number
    }

    /// The member that has the delivery; nil when it isn't out.
    func holder(of ticket: Ticket) -> UInt64? {
        guard case .out(let number, let member) = entries[ticket.sequence]?.phase else {
            return nil
        }
        return number == ticket.number ? member : nil
    }

    /// Whether the message waits for its next delivery.
    func isDelayed(_ sequence: UInt64) -> Bool {
        guard case .delayed = entries[sequence]?.phase else { return false }
        return true
    }

    private mutating func takeBack(_ ticket: Ticket) throws(Refusal) -> Entry {
        guard let entry = entries[ticket.sequence] else { throw .settled }
        guard case .out(let number, let member) = entry.phase, number == ticket.number else {
            throw entry.number == ticket.number ? .settled : .expired
        }
        out -= 1
        members[member]?.out.remove(ticket.sequence)
        return entry
    }
}

extension GroupStateMachine {
    /// How many places its queues have in use: for tests of their bounds.
    var footprint: Int {
        lanes.values.reduce(ready.count + arrivals.count + turns.count + entries.count) {
            $0 + $1.count
        }
    }
}
