import Glibc
import Micro
import Synchronization

/// The greeters of a demo.
actor Cluster {
    private let settings: [String: String]
    private var greeters: [ChildProcess] = []

    init(settings: [String: String]) { self.settings = settings }

    func start() throws { greeters.append(try ChildProcess("greeter", environment: settings)) }

    /// At a quarter of the calls one greeter is killed; at half of them another one ends in order and
    /// a new one takes its place.
    func makeTrouble(_ progress: Progress, calls: Int) async throws {
        try await progress.reaches(calls / 4)
        say("  SIGKILL to greeter \(greeters[0].pid) at call \(progress.count)")
        greeters[0].send(SIGKILL)
        try await progress.reaches(calls / 2)
        say("  SIGTERM to greeter \(greeters[1].pid) at call \(progress.count), and a new one")
        greeters[1].send(SIGTERM)
        try start()
    }

    /// Ends all in order. Whether everybody but the killed one ended with success.
    func end() async throws -> Bool {
        try await Showcase.end(greeters)
        return greeters.dropFirst().allSatisfy { $0.poll() == 0 }
    }

    func kill() { for greeter in greeters { greeter.send(SIGKILL) } }
}

/// How many calls were begun.
final class Progress: Sendable {
    private let begun = Atomic<Int>(0)

    var count: Int { begun.load(ordering: .relaxed) }

    /// The number of the next call, until all are begun.
    func next(of total: Int) -> Int? {
        let number = begun.wrappingAdd(1, ordering: .relaxed).newValue
        return number <= total ? number : nil
    }

    func reaches(_ number: Int) async throws {
        while count < number { try await Environment.current.clock.sleep(for: .milliseconds(1)) }
    }
}
