import Foundation
import Testing

extension EndToEnd {
    /// Commands that run while they hold a lock.
    @Suite struct LockTests {
        private let machine: Machine
        private let url: String

        init() throws {
            machine = try Machine()
            url = "sqlite:\(machine.folder.path)/locks.sqlite"
        }

        private func lock(_ arguments: String...) async throws -> Program.Result {
            try await Program.run(
                Installation.microctl, ["lock"] + arguments,
                environment: machine.variables.merging(["MICRO_SYNC": url]) { $1 },
                folder: machine.folder.path, input: "")
        }

        @Test func theCommandHasATokenAndItsCodeIsOurs() async throws {
            let first = try await lock("a", "--", "sh", "-c", "echo $MICRO_LOCK_TOKEN; exit 7")
            #expect(first.exit == .code(7))
            let second = try await lock("a", "--", "sh", "-c", "echo $MICRO_LOCK_TOKEN")
            #expect(second.exit == .code(0))
            let tokens = try [first, second].map {
                try #require(Int($0.output.trimmingCharacters(in: .newlines)))
            }
            #expect(tokens[1] > tokens[0])
            let killed = try await lock("a", "--", "sh", "-c", "kill -9 $$")
            #expect(killed.exit == .code(137))
        }

        /// One appends while another holds the lock: never two lines at once.
        @Test func commandsTakeTurns() async throws {
            let script = "echo in >> log; sleep 0.2; echo out >> log"
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let result = try await lock("a", "--", "sh", "-c", script)
                        #expect(result.exit == .code(0), "\(result.errors)")
                    }
                }
                try await group.waitForAll()
            }
            let log = try String(contentsOfFile: machine.folder.path + "/log", encoding: .utf8)
            #expect(log == String(repeating: "in\nout\n", count: 4))
        }

        /// A lock that is held is refused at once, where nobody wants to wait.
        @Test func whatIsHeldIsRefused() async throws {
            let inner = "\(Installation.microctl) lock a --timeout 0s -- true"
            let result = try await lock("a", "--", "sh", "-c", inner)
            #expect(result.exit == .code(68))
            #expect(result.errors.contains("LOCK_TIMEOUT"))
        }

        @Test func wrongCommandsAreNamed() async throws {
            let missing = try await lock("a", "--", "no-such-program")
            #expect(missing.exit == .code(67))
            #expect(missing.errors.contains("no-such-program"))
            #expect(try await lock("a").exit == .code(64))
            #expect(try await lock("a", "--ttl", "soon", "--", "true").exit == .code(64))
        }

        /// Who is told to end passes it on, and gives the lock back.
        @Test func theEndIsPassedOn() async throws {
            let inner = "(sleep 0.5; kill -TERM $PPID) & exec sleep 60"
            let result = try await lock("a", "--", "sh", "-c", inner)
            #expect(result.exit == .code(143))
            #expect(try await lock("a", "--timeout", "0s", "--", "true").exit == .code(0))
        }
    }
}
