internal import Micro

/// A kind of fault that ``SimulatedWorld/chaos(for:faults:on:every:lasting:)`` makes.
public enum SimulatedFaultKind: String, Sendable, Hashable, CaseIterable {
    /// A machine is cut off from everybody.
    case partition
    /// A machine is cut off from everybody in one direction.
    case oneWayPartition
    /// Two machines are cut off from each other.
    case pairPartition
    /// A machine is slow to reach: by up to 200 ms.
    case delay
    /// The connections of a machine are lost, and nobody is told.
    case drop
    /// The connections of a machine are broken.
    case reset
    /// A process is killed, and started again.
    case crash
    /// A service is stopped in order, and started again.
    case restart
    /// A process stands still.
    case stall
    /// The register is down.
    case registerOutage
    /// A machine is cut off from the register.
    case registerPartition
}

extension SimulatedWorld {
    /// Makes one fault after the other, of kinds, on machines and at times that the seed chooses;
    /// several may last at a time. Then everything is healed, and all that was killed started
    /// again.
    ///
    /// - Parameters:
    ///   - duration: How long.
    ///   - faults: What may happen.
    ///   - nodes: To whom; nil: all machines that have a service.
    ///   - pause: How long after one begins the next one does.
    ///   - span: How long each lasts.
    /// - Throws: `CancellationError`; why a service did not start again.
    public func chaos(
        for duration: Duration,
        faults: Set<SimulatedFaultKind> = Set(SimulatedFaultKind.allCases),
        on nodes: [SimulatedNode]? = nil,
        every pause: ClosedRange<Duration> = .milliseconds(200) ... .seconds(3),
        lasting span: ClosedRange<Duration> = .milliseconds(100) ... .seconds(5)
    ) async throws {
        let nodes = nodes ?? self.nodes.filter(\.hasService)
        let kinds = SimulatedFaultKind.allCases.filter(faults.contains)
        guard !nodes.isEmpty, !kinds.isEmpty else { return try await run(for: duration) }
        let end = clock.now.advanced(by: duration)
        try await withThrowingTaskGroup(of: Void.self) { group in
            while clock.now < end {
                let left = clock.now.duration(to: end)
                try await clock.sleep(for: min(left, draw(pause)))
                guard clock.now < end else { break }
                let kind = kinds[Int(environment.random() % UInt64(kinds.count))]
                let node = nodes[Int(environment.random() % UInt64(nodes.count))]
                let other = nodes[Int(environment.random() % UInt64(nodes.count))]
                let length = min(draw(span), clock.now.duration(to: end))
                group.addTask { try await self.make(kind, node, other, for: length) }
            }
            try await group.waitForAll()
        }
        heal()
        for node in nodes where node.hasService && node.state != .running {
            try await restart(node)
        }
    }

    private func make(
        _ kind: SimulatedFaultKind, _ node: SimulatedNode, _ other: SimulatedNode,
        for length: Duration
    ) async throws {
        switch kind {
        case .partition: partition(node, for: length)
        case .oneWayPartition:
            partition(node, environment.random() % 2 == 0 ? .outgoing : .incoming, for: length)
        case .pairPartition:
            if node !== other { partition(node, from: other, for: length) }
        case .delay: delay(node, by: .zero ... .milliseconds(200), for: length)
        case .drop: drop(node)
        case .reset: reset(node)
        case .stall: stall(node, for: length)
        case .registerOutage: registerOutage(for: length)
        case .registerPartition: partition(node, from: .register, for: length)
        case .crash:
            guard node.state == .running else { return }
            crash(node)
            try await clock.sleep(for: length)
            // Somebody else may have been quicker.
            if node.state == .crashed { try await restart(node) }
        case .restart:
            guard node.state == .running, !node.isStalled else { return }
            do {
                try await restart(node)
            } catch  where node.state == .crashed {
                // It was killed while it was starting.
            }
        }
    }
}
