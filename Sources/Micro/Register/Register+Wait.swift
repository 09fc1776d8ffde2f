extension Register {
    /// Waits until a service has enough nodes that take calls.
    ///
    /// It is told by the register, so it returns as soon as they are there; a register that cannot
    /// be reached is waited for as well.
    /// - Parameters:
    ///   - service: The name of the service.
    ///   - minimum: How many nodes, at least 1, must be ``ServiceNode/State/ready``.
    ///   - namespace: ``RegisterNamespace/wildcard`` counts the nodes of all namespaces.
    ///   - timeout: How long to wait at most.
    ///   - environment: Whose clock measures the timeout.
    /// - Returns: The nodes that are ready.
    /// - Throws: ``MicroError`` — `deadlineExceeded`, which says how many nodes there were;
    ///   `unavailable` when the register is closed; `CancellationError` when the task is cancelled.
    @discardableResult
    public func waitForService(
        _ service: String, nodes minimum: Int = 1,
        namespace: String = RegisterNamespace.standard, timeout: Duration,
        environment: Environment = .current
    ) async throws -> [ServiceNode] {
        try RegisterName.check(service, "service")
        try RegisterName.checkQuery(namespace: namespace)
        let events = watch(service, namespace: namespace)
        let clock = environment.clock
        let outcome = await withTaskGroup(of: WaitOutcome.self) { group in
            group.addTask { await follow(events, until: max(1, minimum)) }
            group.addTask {
                try? await clock.sleep(for: timeout)
                return .timedOut
            }
            var outcome = await group.next() ?? .timedOut
            group.cancelAll()
            // After a timeout the follower says how far it came, when its watch is cancelled.
            if case .timedOut = outcome, let rest = await group.next() {
                outcome = rest.afterTimeout
            }
            return outcome
        }
        try Task.checkCancellation()
        switch outcome {
        case .complete(let nodes): return nodes
        case .closed:
            throw MicroError("register.wait", .unavailable, "\(describe()) was closed")
        case .late(let count, let error):
            let reason = error.map { ": \($0.detail)" } ?? ""
            throw MicroError(
                "register.wait", .deadlineExceeded,
                "after \(timeout) there are \(count) of \(max(1, minimum)) nodes of \(service)"
                    + " ready in \(describe())\(reason)")
        case .timedOut:
            throw MicroError("register.wait", .deadlineExceeded, "no answer after \(timeout)")
        }
    }
}

private enum WaitOutcome: Sendable {
    case complete([ServiceNode])
    case closed(count: Int, MicroError?)
    case late(count: Int, MicroError?)
    case timedOut

    var afterTimeout: WaitOutcome {
        if case .closed(let count, let error) = self { .late(count: count, error) } else { self }
    }
}

private func follow(_ events: RegisterEvents, until minimum: Int) async -> WaitOutcome {
    var view = ServiceView()
    var ready: [ServiceNode] = []
    for await event in events {
        view.apply(event.change)
        ready = view.nodes.filter { $0.state == .ready }
        if ready.count >= minimum { return .complete(ready) }
    }
    return .closed(count: ready.count, view.interruption)
}
