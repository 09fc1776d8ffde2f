import Glibc
import GreeterAPI
import Micro

/// `make demo`: calls through discovery while one greeter is killed and another one replaced.
struct Demo {
    private static let calls = 20_000
    private static let callers = 64

    /// Returns whether everything went as promised.
    func run() async throws -> Bool {
        say("Pass 1: \(Demo.calls) calls that are declared idempotent.")
        var first = try await pass(retry: .idempotent(attempts: 5))
        first.expect(first.failures.isEmpty, "\(first.failures.count) calls failed")
        first.expect(first.retriesIdempotent > 0, "the SIGKILL hit no call in flight")
        first.print()

        say("\nPass 2: the same without the declaration.")
        var second = try await pass(retry: .unprocessed(attempts: 5))
        let failed = second.failures.count
        // Only what was in flight to the killed process may fail, and has to say so.
        let unwritten = second.failures.filter { !$0.wasWritten }.count
        second.expect(unwritten == 0, "\(unwritten) calls failed without having been written")
        second.expect(failed <= Demo.callers, "\(failed) calls failed, of \(Demo.callers) at once")
        second.expect(failed > 0, "the SIGKILL hit no call in flight")
        second.expect(second.executions <= Demo.calls, "a handler ran twice for a call")
        second.print()

        say("")
        conclude("Pass 1", first, "lost no call")
        conclude(
            "Pass 2", second,
            "failed only \(failed) calls that the killed process had in flight, and ran none twice")
        return first.problems.isEmpty && second.problems.isEmpty
    }

    private func conclude(_ pass: String, _ summary: Summary, _ success: String) {
        let problems = summary.problems.joined(separator: "; ")
        say(problems.isEmpty ? "\(pass) \(success)." : "\(pass) FAILED: \(problems).")
    }

    private func pass(retry: RetryPolicy) async throws -> Summary {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let register = LocalRegister(path: "\(folder.path)/register.sqlite")
        let client = Client(resolver: RegisterResolver(register: register))
        let cluster = Cluster(folder: folder)
        do {
            for _ in 1...3 { try await cluster.start() }
            try await register.waitForService("greeter", nodes: 3, timeout: .seconds(30))
            let progress = Progress()
            async let trouble: Void = cluster.makeTrouble(progress, calls: Demo.calls)
            var summary = await call(client, retry, progress)
            try await trouble
            guard Interrupts.count == 0 else { throw QuickstartError("interrupted") }
            await client.close()
            await register.close()
            for problem in await cluster.end() { summary.expect(false, problem) }
            summary.executions = try folder.size(of: "tally")
            return summary
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
                        await summary.add(Demo.hello(client, "caller \(number)", retry))
                    }
                    return summary
                }
            }
            return await group.reduce(into: Summary()) { $0.add($1) }
        }
    }

    private static func hello(
        _ client: Client, _ name: String, _ retry: RetryPolicy
    ) async -> Result<CallReport, any Error> {
        do {
            let response = try await client.response(
                .hello, HelloRequest(name: name),
                options: .init(timeout: .seconds(20), retry: retry))
            guard response.reply.message == "Hello, \(name)" else {
                throw QuickstartError("a wrong answer: \(response.reply.message)")
            }
            return .success(response.report)
        } catch {
            return .failure(error)
        }
    }
}
