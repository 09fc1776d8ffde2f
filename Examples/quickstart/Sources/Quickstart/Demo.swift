import Glibc
import GreeterAPI
import Micro

/// `make demo`: calls through discovery while one greeter is killed and another restarted.
struct Demo {
    private static let calls = 20_000
    private static let callers = 64

    /// Returns whether everything went as promised.
    func run() async throws -> Bool {
        say("Pass 1: \(Demo.calls) calls that are declared idempotent.")
        let first = try await pass(retry: .idempotent(attempts: 5))
        first.summary.print()
        let firstHolds = first.summary.failures.isEmpty && first.endedCleanly

        say("\nPass 2: the same without the declaration.")
        let second = try await pass(retry: .unprocessed(attempts: 5))
        second.summary.print()
        // Only what was in flight to the killed process may fail, and has to say so.
        let unexplained = second.summary.failures.filter { !$0.wasWritten }
        let secondHolds =
            unexplained.isEmpty && second.summary.failures.count <= Demo.callers
            && second.summary.executions <= Demo.calls && second.endedCleanly

        say("")
        say(firstHolds ? "Pass 1 lost no call." : "Pass 1 FAILED.")
        say(
            secondHolds
                ? "Pass 2 failed only \(second.summary.failures.count) calls that the killed process had in flight, and ran none twice."
                : "Pass 2 FAILED: \(unexplained.count) calls failed without having been written.")
        return firstHolds && secondHolds
    }

    private func pass(retry: RetryPolicy) async throws -> (summary: Summary, endedCleanly: Bool) {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let settings = [
            "MICRO_REGISTER": "local:\(folder.path)/register.sqlite",
            "MICRO_SERVER_ADDRESS": "127.0.0.1:0",
            "QUICKSTART_TALLY": "\(folder.path)/tally",
        ]
        let register = LocalRegister(path: "\(folder.path)/register.sqlite")
        let client = Client(resolver: RegisterResolver(register: register))
        let cluster = Cluster(settings: settings)
        do {
            for _ in 1...3 { try await cluster.start() }
            try await register.waitForService("greeter", nodes: 3, timeout: .seconds(20))
            let progress = Progress()
            let trouble = Task { try await cluster.makeTrouble(progress, calls: Demo.calls) }
            let summary = await call(client, retry, progress)
            try await trouble.value
            await client.close()
            await register.close()
            let ended = try await cluster.end()
            return (summary.with(executions: try folder.size(of: "tally")), ended)
        } catch {
            await cluster.kill()
            throw error
        }
    }

    private func call(
        _ client: Client, _ retry: RetryPolicy, _ progress: Progress
    ) async -> Summary {
        await withTaskGroup(of: Summary.self) { group in
            for _ in 0..<Demo.callers {
                group.addTask {
                    var summary = Summary()
                    while let number = progress.next(of: Demo.calls) {
                        do {
                            let response = try await client.response(
                                .hello, HelloRequest(name: "caller \(number)"),
                                options: .init(timeout: .seconds(10), retry: retry))
                            summary.add(response.report, answered: response.reply.message == "Hello, caller \(number)")
                        } catch {
                            summary.add(error)
                        }
                    }
                    return summary
                }
            }
            return await group.reduce(into: Summary()) { $0.add($1) }
        }
    }
}
