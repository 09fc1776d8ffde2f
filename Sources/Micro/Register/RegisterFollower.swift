internal import Synchronization

/// What somebody has asked a register for, remembered and kept up to date by watching it.
///
/// The first question about a subject starts one watch, whoever else asks at that moment; answers
/// then come from memory, the last that were known while the register cannot be reached. What
/// nobody asks for is forgotten. Any thread.
///
/// It does for ``CachedRegister`` and `RegisterResolver` what they have in common.
final class RegisterFollower<Value: Sendable>: Sendable {
    struct Options: Sendable {
        /// How long a subject that nobody asks for is remembered.
        var idleTimeout: Duration = .seconds(300)
        /// How long nodes are held on to that the register has lost.
        var lostGrace: Duration = .seconds(90)
        /// How many subjects are remembered.
        var subjectsMax = 4096
        /// How many nodes one of them may have.
        var nodesMax = Int.max
        /// Who asks to refresh a subject again before that gets what is there; up to half of it
        /// more by chance.
        var refreshMin: Duration = .zero
        /// Each subject is watched anew about so often, up to a fifth sooner or later by chance;
        /// nil: never.
        var refreshInterval: Duration?
    }

    /// What is known of a subject.
    struct Known: Sendable {
        var nodes: [ServiceNode]
        var value: Value
        /// Grows with every change, over all subjects.
        var revision: UInt64
        var age: Duration
        var interruption: MicroError?
    }

    let register: any Register
    let environment: Environment
    private let owner: String
    private let options: Options
    private let make: @Sendable ([ServiceNode]) -> Value
    private let numbering = RegisterNumbering()
    private let janitor: SoleTask
    private let state = Mutex(State())

    fileprivate struct State {
        var entries: [RegisterFilter: Entry] = [:]
        var revision: UInt64 = 0
        var lastID: UInt64 = 0
        var isClosed = false

        mutating func makeID() -> UInt64 {
            lastID += 1
            return lastID
        }
    }

    fileprivate struct Entry {
        let id: UInt64
        /// Which watch feeds it: events of a former one are too late.
        var watch: UInt64
        var machine: KeptView
        var value: Value
        var revision: UInt64 = 0
        var lastUse: EventLoopClock.Instant
        var latch = Latch<Void>()
        var task: SpawnedTask?
        var subscribers: [UInt64: @Sendable (Known?) -> Void] = [:]
        /// For those who watch it as a register.
        var feed: RegisterFeed?
        /// Those who wait for something to be seen here.
        var waiters: [UInt64: (isSeen: @Sendable ([ServiceNode]) -> Bool, latch: Latch<Void>)] = [:]
        /// Before that, it is not asked for anew.
        var refreshable: EventLoopClock.Instant?
        var nextRefresh: EventLoopClock.Instant?

        func known(now: EventLoopClock.Instant) -> Known {
            Known(
                nodes: machine.nodes, value: value, revision: revision, age: machine.age(now: now),
                interruption: machine.interruption)
        }

        /// In one order, so that a simulation repeats.
        var audience: [@Sendable (Known?) -> Void] {
            subscribers.sorted { $0.key < $1.key }.map(\.value)
        }

        /// What is known could not be found out again now.
        var isStale: Bool { machine.isLoaded && machine.interruption != nil }

        var isUsed: Bool {
            !subscribers.isEmpty || !waiters.isEmpty || (feed?.isWatched ?? false)
        }
    }

    /// - Parameters:
    ///   - register: What is watched. It is not closed.
    ///   - owner: For whom, as errors call it: "resolver".
    ///   - make: Called with each new state of a subject; must not ask here.
    init(
        register: any Register, owner: String, options: Options, environment: Environment,
        make: @escaping @Sendable ([ServiceNode]) -> Value
    ) {
        self.register = register
        self.owner = owner
        self.options = options
        self.environment = environment
        self.make = make
        self.janitor = SoleTask(environment: environment)
    }

    deinit { close() }

    // MARK: Questions

    /// The way of every question: one lock, one look-up. nil when nothing is known yet.
    func known(_ subject: RegisterFilter) -> Known? {
        let now = environment.clock.now
        return state.withLock { state in
            guard let index = state.entries.index(forKey: subject),
                state.entries.values[index].machine.isLoaded
            else { return nil }
            state.entries.values[index].lastUse = now
            return state.entries.values[index].known(now: now)
        }
    }

    /// What is known, without a question; nil when the subject is not remembered. `isLoaded` says
    /// whether there ever was an answer.
    func peek(_ subject: RegisterFilter) -> (known: Known, isLoaded: Bool)? {
        let now = environment.clock.now
        return state.withLock { state in
            state.entries[subject].map { ($0.known(now: now), $0.machine.isLoaded) }
        }
    }

    /// Watches the subject, if nobody has yet, and waits for the first answer.
    ///
    /// - Throws: Why the register cannot be reached; `resourceExhausted`; `CancellationError`.
    func load(_ subject: RegisterFilter) async throws -> Known {
        try await answer(subject, latch: try use(subject))
    }

    /// Watches the subject anew, and waits for the first answer of that.
    ///
    /// - Throws: As ``load(_:)``.
    func refresh(_ subject: RegisterFilter) async throws -> Known {
        _ = try use(subject)
        let pause = options.refreshMin + options.refreshMin * (chance / 2)
        let now = environment.clock.now
        let refreshable = now.advanced(by: pause)
        let (latch, former, watch) = state.withLock {
            state -> (Latch<Void>?, SpawnedTask?, UInt64?) in
            guard let entry = state.entries[subject] else { return (nil, nil, nil) }
            // A watch that has said nothing yet is as fresh as can be.
            guard entry.latch.isOpen else { return (entry.latch, nil, nil) }
            if entry.machine.isLoaded, let next = entry.refreshable, now < next {
                return (entry.latch, nil, nil)
            }
            let latch = Latch<Void>()
            state.entries[subject]?.latch = latch
            state.entries[subject]?.refreshable = refreshable
            state.entries[subject]?.machine.expectRefresh()
            let (former, watch) = renew(&state, subject)
            return (latch, former, watch)
        }
        former?.cancel()
        if let watch { follow(subject, watch) }
        return try await answer(subject, latch: latch)
    }

    /// A place in the state's entry for the next watch. - Returns: The former one, and its number.
    private func renew(
        _ state: inout State, _ subject: RegisterFilter
    ) -> (SpawnedTask?, UInt64) {
        let watch = state.makeID()
        let former = state.entries[subject]?.task
        state.entries[subject]?.watch = watch
        state.entries[subject]?.task = nil
        return (former, watch)
    }

    /// The answer after `latch`.
    private func answer(_ subject: RegisterFilter, latch: Latch<Void>?) async throws -> Known {
        try await latch?.wait()
        let now = environment.clock.now
        let entry = state.withLock { $0.entries[subject] }
        guard let entry else {
            throw MicroError(
                owner, .unavailable,
                "\(register.describe()) gave no answer about \(subject.service ?? "its services")")
        }
        guard entry.machine.isLoaded else {
            throw entry.machine.interruption
                ?? MicroError(owner, .unavailable, "\(register.describe()) gave no answer")
        }
        return entry.known(now: now)
    }

    /// Waits until the nodes of a subject are such, `patience` at most; not at all when the subject
    /// is not remembered, or the register cannot be reached.
    func wait(
        for subject: RegisterFilter, patience: Duration,
        until isSeen: @escaping @Sendable ([ServiceNode]) -> Bool
    ) async throws {
        let latch = Latch<Void>()
        let id = state.withLock { state -> UInt64? in
            guard let machine = state.entries[subject]?.machine, machine.isLoaded,
                machine.interruption == nil, !isSeen(machine.nodes)
            else { return nil }
            let id = state.makeID()
            state.entries[subject]?.waiters[id] = (isSeen, latch)
            return id
        }
        guard let id else { return }
        defer { state.withLock { _ = $0.entries[subject]?.waiters.removeValue(forKey: id) } }
        do {
            try await withTimeout(patience, on: environment.clock, owner, "seeing the change") {
                try await latch.wait()
            }
        } catch let error as MicroError where error.code == .deadlineExceeded {}
    }

    // MARK: Those who want to know

    /// Calls `body` with what is known, now if there is something, and after each change; with nil
    /// at the end. Not in order when changes come on several threads: see ``Known/revision``.
    ///
    /// - Returns: A number for ``unsubscribe(_:from:)``; nil when the subject cannot be followed.
    func subscribe(
        to subject: RegisterFilter, _ body: @escaping @Sendable (Known?) -> Void
    ) throws -> UInt64 {
        _ = try use(subject)
        let now = environment.clock.now
        let (id, current, isThere) = state.withLock { state -> (UInt64, Known?, Bool) in
            let id = state.makeID()
            guard let entry = state.entries[subject] else { return (id, nil, false) }
            state.entries[subject]?.subscribers[id] = body
            return (id, entry.machine.isLoaded ? entry.known(now: now) : nil, true)
        }
        if let current { body(current) }
        if !isThere { body(nil) }
        return id
    }

    func unsubscribe(_ id: UInt64, from subject: RegisterFilter) {
        let now = environment.clock.now
        state.withLock { state in
            state.entries[subject]?.subscribers[id] = nil
            state.entries[subject]?.lastUse = now
        }
    }

    /// The events of a subject, from here; nil when it cannot be followed.
    ///
    /// - Parameter keeper: What must live as long as they are watched.
    func events(
        of subject: RegisterFilter, keeping keeper: any AnyObject & Sendable
    ) -> RegisterEvents? {
        guard (try? use(subject)) != nil else { return nil }
        return state.withLock { state in
            guard let entry = state.entries[subject] else { return nil }
            let feed = entry.feed ?? entry.makeFeed(numbering)
            state.entries[subject]?.feed = feed
            return feed.watch(subject.service, namespace: subject.namespace, keeping: keeper)
        }
    }

    // MARK: Entries

    /// The entry's latch; makes the entry and starts its watch when there is none.
    private func use(_ subject: RegisterFilter) throws -> Latch<Void> {
        let now = environment.clock.now
        let next = nextRefresh(now)
        let (latch, watch, evicted) = try state.withLock {
            state -> (Latch<Void>, UInt64?, SpawnedTask?) in
            if state.isClosed { throw MicroError(owner, .unavailable, "the \(owner) is closed") }
            if let entry = state.entries[subject] {
                state.entries[subject]?.lastUse = now
                return (entry.latch, nil, nil)
            }
            let evicted = try makeRoom(&state)
            var entry = Entry(
                id: state.makeID(), watch: state.makeID(),
                machine: KeptView(nodesMax: options.nodesMax),
                value: make([]), lastUse: now)
            entry.nextRefresh = next
            state.entries[subject] = entry
            return (entry.latch, entry.watch, evicted)
        }
        evicted?.cancel()
        if let watch {
            follow(subject, watch)
            startJanitor()
        }
        return latch
    }

    private func makeRoom(_ state: inout State) throws -> SpawnedTask? {
        guard state.entries.count >= max(1, options.subjectsMax) else { return nil }
        let oldest = state.entries.filter { !$0.value.isUsed && $0.value.latch.isOpen }
            .min { ($0.value.lastUse, $0.key) < ($1.value.lastUse, $1.key) }
        guard let oldest else {
            throw MicroError.resourceExhausted(
                owner, "\(state.entries.count) services are in use, and no more are allowed")
        }
        return state.entries.removeValue(forKey: oldest.key)?.task
    }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Ends all watches; what is asked for afterwards is refused. Idempotent.
    func close() {
        let entries = state.withLock { state in
            state.isClosed = true
            defer { state.entries = [:] }
            return state.entries.sorted { $0.key < $1.key }.map(\.value)
        }
        janitor.close()
        for entry in entries {
            entry.task?.cancel()
            entry.latch.open()
            for tell in entry.audience { tell(nil) }
            for (_, waiter) in entry.waiters { waiter.latch.open() }
            entry.feed?.finish()
        }
    }
}

// MARK: - Watches

extension RegisterFollower {
    private func follow(_ subject: RegisterFilter, _ watch: UInt64) {
        let events = register.watch(subject.service, namespace: subject.namespace)
        let place = register.describe()
        let task = environment.spawn { [weak self, owner] in
            for await event in events {
                guard let self, self.apply(event.change, to: subject, watch) else { return }
            }
            let error = MicroError(owner, .unavailable, "\(place) was closed")
            _ = self?.apply(.interrupted(error), to: subject, watch)
        }
        let isCurrent = state.withLock { state in
            guard state.entries[subject]?.watch == watch else { return false }
            state.entries[subject]?.task = task
            return true
        }
        if !isCurrent { task.cancel() }
    }

    /// - Returns: Whether the watch is still wanted.
    private func apply(
        _ change: RegisterEvent.Change, to subject: RegisterFilter, _ watch: UInt64
    ) -> Bool {
        let now = environment.clock.now
        let result = state.withLock { state -> (Entry, KeptView.Effect)? in
            guard state.entries[subject]?.watch == watch,
                let former = state.entries[subject]?.machine.nodes,
                let effect = state.entries[subject]?.machine.apply(change, now: now)
            else { return nil }
            if effect.isChanged { takeNodes(&state, subject) }
            if let entry = state.entries[subject] {
                entry.tellFeed(change, after: former)
                return (entry, effect)
            }
            return nil
        }
        guard let (entry, effect) = result else { return false }
        tell(entry, effect.isChanged, now)
        entry.latch.open()
        if let grace = effect.grace { endGrace(grace, of: subject, entry.id) }
        return true
    }

    private func takeNodes(_ state: inout State, _ subject: RegisterFilter) {
        guard let nodes = state.entries[subject]?.machine.nodes else { return }
        state.revision += 1
        state.entries[subject]?.revision = state.revision
        state.entries[subject]?.value = make(nodes)
    }

    private func tell(_ entry: Entry, _ isChanged: Bool, _ now: EventLoopClock.Instant) {
        let isLost = entry.machine.interruption != nil
        for (_, waiter) in entry.waiters.sorted(by: { $0.key < $1.key })
        where isLost || waiter.isSeen(entry.machine.nodes) {
            waiter.latch.open()
        }
        guard isChanged else { return }
        let known = entry.known(now: now)
        for tell in entry.audience { tell(known) }
    }

    private func endGrace(_ grace: UInt64, of subject: RegisterFilter, _ id: UInt64) {
        environment.spawn { [weak self, clock = environment.clock, options] in
            do { try await clock.sleep(for: options.lostGrace) } catch { return }
            self?.acceptLoss(grace, of: subject, id)
        }
    }

    private func acceptLoss(_ grace: UInt64, of subject: RegisterFilter, _ id: UInt64) {
        let now = environment.clock.now
        let entry = state.withLock { state -> Entry? in
            guard state.entries[subject]?.id == id,
                let isChanged = state.entries[subject]?.machine.endGrace(grace), isChanged
            else { return nil }
            takeNodes(&state, subject)
            if let entry = state.entries[subject] { entry.feed?.replace(with: entry.machine.nodes) }
            return state.entries[subject]
        }
        if let entry { tell(entry, true, now) }
    }
}

extension RegisterFollower.Entry {
    /// One that knows what is known here.
    fileprivate func makeFeed(_ numbering: RegisterNumbering) -> RegisterFeed {
        let feed = RegisterFeed(isTable: true, isLoaded: false, numberedBy: numbering)
        if machine.isLoaded { feed.replace(with: machine.nodes) }
        if let error = machine.interruption { feed.interrupt(error) }
        return feed
    }

    /// Under the lock, so that it is told in order.
    fileprivate func tellFeed(_ change: RegisterEvent.Change, after former: [ServiceNode]) {
        guard let feed else { return }
        if let error = machine.interruption { return feed.interrupt(error) }
        switch change {
        case .snapshot:
            // Whoever watches here must see that it is one: who is not in it has not been removed,
            // and it has no order.
            feed.replace(with: machine.nodes, isAnew: machine.nodes != former)
        case .added(let node), .updated(let node): feed.register(node)
        case .removed(let node): feed.deregister(node)
        case .interrupted: break
        }
    }
}

// MARK: - Looking after it

extension RegisterFollower {
    /// From 0 to below 1.
    private var chance: Double { environment.random().unitInterval }

    private func nextRefresh(_ now: EventLoopClock.Instant) -> EventLoopClock.Instant? {
        options.refreshInterval.map { now.advanced(by: $0 * (0.8 + 0.4 * chance)) }
    }

    private func startJanitor() {
        let pause = max(
            .milliseconds(10),
            min(options.idleTimeout, options.refreshInterval ?? options.idleTimeout) / 5)
        janitor.begin { [weak self, clock = environment.clock] in
            repeat {
                do { try await clock.sleep(for: pause) } catch { return }
                self?.refreshSome()
            } while self?.forgetIdle() ?? false
        }
    }

    /// Watches those anew whose time has come.
    private func refreshSome() {
        guard options.refreshInterval != nil else { return }
        let now = environment.clock.now
        let due = state.withLock { state in
            state.entries.filter { $0.value.nextRefresh.map { $0 <= now } ?? false }.keys.sorted()
        }
        for subject in due {
            let next = nextRefresh(now)
            let renewal = state.withLock { state -> (SpawnedTask?, UInt64)? in
                guard let entry = state.entries[subject] else { return nil }
                state.entries[subject]?.nextRefresh = next
                return entry.latch.isOpen ? renew(&state, subject) : nil
            }
            guard let (former, watch) = renewal else { continue }
            former?.cancel()
            follow(subject, watch)
        }
    }

    /// - Returns: Whether there is anything left to look after.
    private func forgetIdle() -> Bool {
        let now = environment.clock.now
        let forgotten = state.withLock { state in
            let idle = state.entries.filter {
                !$0.value.isUsed && !$0.value.isStale
                    && $0.value.lastUse.advanced(by: options.idleTimeout) <= now
            }
            for subject in idle.keys { state.entries[subject] = nil }
            for (subject, entry) in state.entries where entry.feed?.isWatched == false {
                state.entries[subject]?.feed = nil
            }
            return idle.sorted { $0.key < $1.key }.map(\.value)
        }
        for entry in forgotten {
            entry.task?.cancel()
            entry.latch.open()  // whoever has waited all that time is told that there is no answer
        }
        return janitor.goesOn { state.withLock { !$0.entries.isEmpty } }
    }
}
