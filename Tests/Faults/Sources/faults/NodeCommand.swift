import ArgumentParser
import Foundation
import Micro
import MicroEtcd
import Synchronization

/// A node of the service "work". Prints "ready ID ADDRESS" when it serves, and then, ten times a
/// second, "count MILLISECONDS CALLS CONNECTIONS": what it was asked and who connected, in all.
struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "Serve until SIGTERM.")

    @Option(help: "Where to listen.") var address = "127.0.0.1:0"
    @Option(help: "CPU time of each call, in microseconds.") var burn = 0
    @Option(help: "How long the register keeps it, in seconds.") var ttl = 5.0
    @Option(help: "Milliseconds between leaving the register and refusing calls.") var delay = 300

    func run() async throws {
        let service = MicroService(name: "work", version: "1", options: options)
        let work = Work(burn: .microseconds(burn))
        service.handle("Work.Do") { (id: Int, context) in try work.run(id) }
        service.handle("Work.Fail") { (fails: Bool, context) -> Bool in work.fails(fails) }
        service.afterStart { [nodeID = service.nodeID] in
            say("ready \(nodeID) \(service.addresses.first ?? "")")
        }
        let counting = Task.detached(priority: .high) {
            while !Task.isCancelled {
                let statistics = service.statistics
                let time = Int(monotonicMilliseconds())
                say("count \(time) \(work.calls) \(statistics.connectionsTotal)")
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
        try await service.run()
        counting.cancel()
        say("ended")
    }

    private var options: ServiceOptions {
        var options = ServiceOptions()
        options.registerEngines = EtcdRegister.engines
        options.server.addresses = [address]
        options.registerTTL = .milliseconds(Int(ttl * 1000))
        options.registerInterval = .milliseconds(Int(ttl * 1000 / 3))
        options.drainDelay = .milliseconds(delay)
        return options
    }
}

/// What a call does: nothing, or so much computing, or failing.
final class Work: Sendable {
    private let burn: Duration
    private let count = Atomic<UInt64>(0)
    private let isFailing = Atomic<Bool>(false)

    init(burn: Duration) { self.burn = burn }

    /// Calls that reached the handler.
    var calls: UInt64 { count.load(ordering: .relaxed) }

    func fails(_ fails: Bool) -> Bool {
        isFailing.store(fails, ordering: .relaxed)
        return fails
    }

    func run(_ id: Int) throws -> Int {
        count.add(1, ordering: .relaxed)
        if isFailing.load(ordering: .relaxed) {
            throw MicroError.unavailable("work", "out of order")
        }
        if burn > .zero {
            let end = ContinuousClock.now + burn
            while ContinuousClock.now < end {}
        }
        return id
    }
}
