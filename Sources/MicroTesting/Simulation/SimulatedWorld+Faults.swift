internal import Micro

/// Something that is wrong in a ``SimulatedWorld``, until it is healed.
public struct SimulatedFault: Sendable {
    let heal: @Sendable () -> Void
    /// Ends it. Idempotent.
    public func end() { heal() }
}

/// A part of a world that is not a machine.
public enum SimulatedPart: Sendable, Hashable, CaseIterable {
    /// Where services are found.
    case register
    /// The broker, the store and the locks.
    case engines

    var party: Party { self == .register ? .register : .engines }
}

/// What goes wrong in a ``SimulatedWorld``. Each lasts for a time, nil: until
/// ``SimulatedFault/end()`` or ``heal()``.
extension SimulatedWorld {
    // MARK: The network

    /// Cuts a machine off: nothing passes between it and all others, the register, broker, store
    /// and locks, and nobody is told. What is sent arrives when it is over, as TCP sends it again;
    /// who connects waits.
    @discardableResult
    public func partition(
        _ node: SimulatedNode, _ direction: SimulatedDirection = .both,
        for duration: Duration? = nil
    ) -> SimulatedFault {
        add(
            .partition(node.party, from: nil, direction), for: duration,
            "\(node.name) is cut off\(words(direction))")
    }

    /// The same between two machines.
    @discardableResult
    public func partition(
        _ node: SimulatedNode, from other: SimulatedNode,
        _ direction: SimulatedDirection = .both, for duration: Duration? = nil
    ) -> SimulatedFault {
        add(
            .partition(node.party, from: other.party, direction), for: duration,
            "\(node.name) is cut off from \(other.name)\(words(direction))")
    }

    /// The same between a machine and a part of the world.
    @discardableResult
    public func partition(
        _ node: SimulatedNode, from part: SimulatedPart, for duration: Duration? = nil
    ) -> SimulatedFault {
        add(
            .partition(node.party, from: part.party, .both), for: duration,
            "\(node.name) is cut off from the \(part)")
    }

    private func words(_ direction: SimulatedDirection) -> String {
        switch direction {
        case .both: ""
        case .outgoing: ", in what it sends"
        case .incoming: ", in what it is sent"
        }
    }

    /// Makes all that a machine sends and is sent take longer, by an extra time drawn from `extra`
    /// for each piece of bytes.
    @discardableResult
    public func delay(
        _ node: SimulatedNode, by extra: ClosedRange<Duration>, for duration: Duration? = nil
    ) -> SimulatedFault {
        add(
            .delay(node.party, to: nil, extra), for: duration,
            "\(node.name) is slow to reach: by \(extra.lowerBound) to \(extra.upperBound)")
    }

    /// Nothing arrives any more on the connections that a machine has open at present, and nobody
    /// is told; new ones work. As when something between them has forgotten them.
    public func drop(_ node: SimulatedNode) {
        network.lose(node.host)
        note("the connections of \(node.name) are lost")
    }

    /// Breaks the connections that a machine has open at present: both ends are told.
    public func reset(_ node: SimulatedNode) {
        network.reset(node.host)
        note("the connections of \(node.name) are reset")
    }

    // MARK: Processes

    /// Makes a process stand still, as SIGSTOP does: no handler, task or timer of it runs. Its
    /// machine goes on: others can connect, and what they send waits.
    @discardableResult
    public func stall(_ node: SimulatedNode, for duration: Duration? = nil) -> SimulatedFault {
        guard let process = node.withFacts({ $0.process }) else { return SimulatedFault {} }
        process.pause(true)
        node.withFacts { $0.isStalled = true }
        note("\(node.name) stands still")
        return lasting(duration) { self.goOn(node, process) }
    }

    private func goOn(_ node: SimulatedNode, _ process: SimulatedProcess) {
        let isStalled = node.withFacts { facts in
            guard facts.process === process else { return false }
            defer { facts.isStalled = false }
            return facts.isStalled
        }
        guard isStalled else { return }
        process.pause(false)
        note("\(node.name) goes on")
    }

    /// Makes the wall clock of the process that runs on a machine be ahead of the others', or
    /// behind when it is negative. Timers don't mind.
    public func skewClock(of node: SimulatedNode, by duration: Duration) {
        node.withFacts { $0.process }?.skewClock(by: duration)
        note("the clock of \(node.name) is ahead by \(duration)")
    }

    // MARK: Parts of the world

    /// Ends the process of the register: nobody can ask it, and those that watch it are told.
    ///
    /// - Parameter losingEverything: It is empty when it is back.
    @discardableResult
    public func registerOutage(
        losingEverything: Bool = false, for duration: Duration? = nil
    ) -> SimulatedFault {
        if losingEverything { server.loseEverything() }
        return add(.outage(.register), for: duration, "the register is down")
    }

    /// The same for broker, store and locks, which keep what they know.
    @discardableResult
    public func enginesOutage(for duration: Duration? = nil) -> SimulatedFault {
        add(.outage(.engines), for: duration, "the broker, the store and the locks are down")
    }

    // MARK: Healing

    /// Ends all partitions, delays, stalls and outages. What has crashed stays so.
    public func heal() {
        for node in nodes where node.isStalled {
            if let process = node.withFacts({ $0.process }) { goOn(node, process) }
        }
        let wasIll = changeFaults { faults in
            defer { faults.removeAll() }
            return !faults.faults.isEmpty
        }
        if wasIll { note("healed") }
    }

    private func add(
        _ fault: FaultTable.Fault, for duration: Duration?, _ line: String
    ) -> SimulatedFault {
        let id = changeFaults { $0.add(fault) }
        note(line)
        return lasting(duration) {
            if self.changeFaults({ $0.remove(id) }) { self.note("over: \(line)") }
        }
    }

    private func lasting(
        _ duration: Duration?, _ end: @escaping @Sendable () -> Void
    ) -> SimulatedFault {
        if let duration {
            environment.spawn {
                guard (try? await self.clock.sleep(for: duration)) != nil else { return }
                end()
            }
        }
        return SimulatedFault(heal: end)
    }
}
