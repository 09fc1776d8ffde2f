internal import Micro

/// Runs `body` in a simulated world: services on several machines, a network between them and a
/// register that can fail, all on one thread and on a virtual clock, without a socket.
///
/// ```swift
/// try await withSimulation(seed: 7) { world in
///     let nodes = try await world.start(count: 3) { makeGreeter() }
///     let client = try world.client()
///     world.partition(nodes[0], for: .seconds(5))
///     let reply: Greeting = try await client.call("greeter", "Greeter.Hello", Hello(name: "Ada"))
///     #expect(reply.message == "Hello, Ada")
/// }
/// ```
///
/// The same seed gives the same run, as long as the services take time, randomness and background
/// tasks from ``Environment``; `Task {}` and other threads are outside of it. When the body throws,
/// or an expectation of Swift Testing fails in it, the seed is named: `MICRO_SIMULATION_SEED` runs
/// that one again, whatever `seed` says. What runs still when the body ends is stopped in order.
///
/// - Parameters:
///   - seed: Of all randomness.
///   - limit: How long the body may take, in virtual time.
/// - Throws: What `body` throws; ``MicroError`` deadlineExceeded when the simulation is stuck, with
///   a list of who waits for what.
@discardableResult
public func withSimulation<T: Sendable>(
    seed: UInt64 = 0, limit: Duration = .seconds(3600),
    _ body: @escaping @Sendable (SimulatedWorld) async throws -> T
) async throws -> T {
    try await simulate(try SimulationSeed.chosen() ?? seed, limit, body)
}

/// Runs `body` once for each seed, in worlds of their own, one after the other; see
/// ``withSimulation(seed:limit:_:)``. `MICRO_SIMULATION_SEED` makes it run that seed only.
///
/// - Throws: What the first run that fails throws; its seed is named.
public func withSimulations(
    seeds: Range<UInt64>, limit: Duration = .seconds(3600),
    _ body: @escaping @Sendable (SimulatedWorld) async throws -> Void
) async throws {
    if let seed = try SimulationSeed.chosen() { return try await simulate(seed, limit, body) }
    for seed in seeds {
        try Task.checkCancellation()
        try await simulate(seed, limit, body)
    }
}

private func simulate<T: Sendable>(
    _ seed: UInt64, _ limit: Duration,
    _ body: @escaping @Sendable (SimulatedWorld) async throws -> T
) async throws -> T {
    let place = WorldPlace()
    let advice = "simulation seed \(seed): run it again with MICRO_SIMULATION_SEED=\(seed)"
    do {
        return try await withComment(advice) {
            try await Simulation.run(seed: seed, limit: limit) { simulation in
                let world = try SimulatedWorld(simulation)
                place.world = world
                return try await body(world)
            } end: { _ in
                await place.world?.end()
            } explain: { _ in
                place.world?.explanation ?? ""
            }
        }
    } catch {
        SimulationSeed.report("\(advice) (\((error as? MicroError)?.detail ?? "\(error)"))")
        throw error
    }
}
