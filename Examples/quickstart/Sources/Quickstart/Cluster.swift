import Glibc
import Micro
import Synchronization

/// The greeters of a pass of the demo.
actor Cluster {
    private let folder: TemporaryFolder
    private var greeters: [ChildProcess] = []

    init(folder: TemporaryFolder) { self.folder = folder }

    func start() throws {
        let greeter = try ChildProcess(
            "greeter", log: "\(folder.path)/greeter-\(greeters.count + 1).log",
            environment: [
                "MICRO_REGISTER": "local:\(folder.path)/register.sqlite",
                "MICRO_SERVER_ADDRESS": "",  // where its transport likes
                "QUICKSTART_TALLY": "\(folder.path)/tally",
            ])
        greeters.append(greeter)
    }

    /// At a quarter of the calls one greeter is killed; at half of them another one ends in order
    /// and a new one takes its place.
    func makeTrouble(_ progress: Progress, calls: Int) async throws {
        try await progress.reaches(calls / 4)
        // Frozen first, so that calls pile up at it: the kill surely hits some.
        greeters[0].send(SIGSTOP)
        try await progress.reaches(calls / 4 + calls / 40)
        say("  SIGKILL to greeter \(greeters[0].pid) at call \(progress.count)")
        greeters[0].send(SIGKILL)
        try await progress.reaches(calls / 2)
        say("  SIGTERM to greeter \(greeters[1].pid) at call \(progress.count), and a new one")
        greeters[1].terminate()
        try start()
    }

    /// Ends all in order. Returns those that ended otherwise, but for the one that was killed.
    func end() async -> [String] {
        await greeters.end()
        return greeters.dropFirst().filter { $0.poll() != 0 }.map {
            "greeter \($0.pid) ended with status \($0.poll() ?? 0): \($0.complaints)"
        }
    }

    func kill() async {
        for greeter in greeters { greeter.send(SIGKILL) }
        await greeters.end()
    }
}

/// How many calls were begun.
final class Progress: Sendable {
    private let begun = Atomic<Int>(0)

    var count: Int { begun.load(ordering: .relaxed) }

    /// The number of the next call, until all are begun.
    func next(of total: Int) -> Int? {
        let number = begun.wrappingAdd(1, ordering: .relaxed).newValue
        return number <= total && Interrupts.count == 0 ? number : nil
    }

    func reaches(_ number: Int) async throws {
        while count < number {
            guard Interrupts.count == 0 else { throw QuickstartError("interrupted") }
            try await Environment.current.clock.sleep(for: .milliseconds(1))
        }
    }
}
