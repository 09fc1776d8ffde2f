import Foundation
import Micro
import Testing

extension EndToEnd {
    /// What a newcomer sees first.
    @Suite struct QuickstartTests {
        private func start(_ machine: Machine, _ address: String) throws -> Program {
            try machine.start(
                "quickstart",
                ["FRONTDOOR_ADDRESS": address, "TMPDIR": machine.folder.path])
        }

        private func processes(_ machine: Machine) async throws -> [pid_t] {
            let register = LocalRegister(path: machine.registerPath)
            let nodes = try await register.list().flatMap(\.nodes)
            await register.close()
            return nodes.compactMap { $0.metadata["pid"].flatMap(pid_t.init) }
        }

        private func isAlive(_ pid: pid_t) -> Bool { kill(pid, 0) == 0 }

        @Test(arguments: [SIGINT, SIGTERM])
        func whatItPrintsWorks(_ signal: Int32) async throws {
            let machine = try Machine()
            let quickstart = try start(machine, "127.0.0.1:0")
            let command = try await quickstart.line(with: "curl --json")
            _ = try await quickstart.line(with: "Ctrl-C ends them all.")

            let curl = try await Program.run("bash", ["-c", command])
            #expect(curl.output == #"{"message":"Hello, Ada"}"#, "\(curl.errors)")

            let call = try await quickstart.line(with: "microctl call greeter")
            let words = "swift run microctl"
            #expect(call.contains(words))
            let microctl = call.replacing(words, with: Installation.microctl)
            let called = try await Program.run(
                "bash", ["-c", microctl], environment: machine.variables)
            #expect(called.output == "{\"message\":\"Hello, Ada\"}\n", "\(called.errors)")

            let children = try await processes(machine)
            #expect(children.count == 4)
            let kill = try await quickstart.line(with: "kill -9")
            let killed = try await Program.run("bash", ["-c", kill])
            #expect(killed.exit == .code(0))
            _ = try await quickstart.line(with: "has ended, with status 137")
            let again = try await Program.run("bash", ["-c", command])
            #expect(again.output == #"{"message":"Hello, Ada"}"#, "\(again.errors)")

            let logs = try await Program.run("bash", ["-c", quickstart.line(with: "tail ")])
            #expect(logs.output.contains(" ready"), "\(logs.errors)")
            // The logs do not bury what it prints.
            #expect(quickstart.errors.isEmpty)

            quickstart.send(signal)
            let result = try await quickstart.end()
            #expect(result.exit == .code(0), "\(result.output)\(result.errors)")
            for child in children { #expect(!isAlive(child)) }
            #expect(try await processes(machine).isEmpty)
            let left = try FileManager.default.contentsOfDirectory(atPath: machine.folder.path)
            #expect(!left.contains { $0.hasPrefix("quickstart-") })
        }

        @Test func anAddressThatIsTaken() async throws {
            let machine = try Machine()
            let (greeter, address) = try await Machine().serve("greeter")
            let quickstart = try start(machine, address)
            let result = try await quickstart.end()
            #expect(result.exit == .code(1))
            #expect(result.errors.contains("in use"), "\(result.errors)")
            #expect(result.errors.contains("If \(address) is taken"), "\(result.errors)")
            #expect(result.errors.contains("FRONTDOOR_ADDRESS="), "\(result.errors)")
            #expect(try await processes(machine).isEmpty)
            greeter.send(SIGTERM)
            _ = try await greeter.end()
        }

        @Test func unknownArguments() async throws {
            let result = try await Program.run(Installation.quickstart("quickstart"), ["demon"])
            #expect(result.exit == .code(1))
            #expect(result.errors.contains("\"demon\""))
        }

        @Test func theDemoKeepsItsPromises() async throws {
            let folder = try TestFolder()
            let result = try await Program.run(
                Installation.quickstart("quickstart"), ["demo"],
                environment: ["TMPDIR": folder.path], within: .seconds(180))
            #expect(result.exit == .code(0), "\(result.output)\(result.errors)")
            #expect(result.output.contains("\nPass 1 lost no call.\n"))
            #expect(result.output.contains("\nPass 2 failed only "))
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }

        @Test func theDemoCanBeInterrupted() async throws {
            let folder = try TestFolder()
            let demo = try Program(
                Installation.quickstart("quickstart"), ["demo"],
                environment: ["TMPDIR": folder.path])
            _ = try await demo.line(with: "SIGKILL to greeter")
            demo.send(SIGINT)
            let result = try await demo.end()
            #expect(result.exit == .code(1))
            #expect(result.errors.contains("interrupted"), "\(result.errors)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
    }
}
