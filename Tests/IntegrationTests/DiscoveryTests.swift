import Foundation
import Micro
import Synchronization
import Testing

extension EndToEnd {
    /// Processes that find each other in a register.
    @Suite struct DiscoveryTests {
        private struct Request: Codable, Sendable { var name: String }
        private struct Reply: Codable, Sendable { var message: String }

        private func call(_ client: Client) async throws -> CallReport {
            let response: Response<Reply> = try await client.response(
                "greeter", "Greeter.Hello", Request(name: "Ada"),
                options: .init(timeout: .seconds(20), retry: .idempotent(attempts: 5)))
            #expect(response.reply.message == "Hello, Ada")
            return response.report
        }

        @Test func aKilledProcessIsGoneAndCallsGoOn() async throws {
            let machine = try Machine()
            let register = LocalRegister(path: machine.registerPath)
            let client = Client(resolver: RegisterResolver(register: register))
            var greeters: [Program] = []
            for _ in 0..<3 { greeters.append(try machine.start("greeter")) }
            let nodes = try await register.waitForService("greeter", nodes: 3, timeout: patience)
            #expect(Set(nodes.compactMap { $0.metadata["pid"] }) == pids(of: greeters))

            var callers: Set<String> = []
            try await until("all three are called") {
                callers.insert(try await self.call(client).node)
                return callers == Set(nodes.map(\.id))
            }

            // Calls go on all the time, of which none fails.
            let called = Mutex<Set<String>>([])
            let calls = Task {
                var count = 0
                while !Task.isCancelled {
                    let node = try await self.call(client).node
                    called.withLock { _ = $0.insert(node) }
                    count += 1
                }
                return count
            }
            let clock = ContinuousClock()
            let killed = clock.now
            greeters[0].send(SIGKILL)
            var left: Set<String> = []
            _ = try await until("\(greeters[0].pid) is gone") {
                left = Set(
                    try await register.lookup("greeter").compactMap { $0.metadata["pid"] })
                return left == pids(of: greeters.dropFirst()) ? true : nil
            } otherwise: {
                "there are \(left)\n" + greeters.map(\.errors).joined(separator: "\n")
            }
            #expect(clock.now - killed < .seconds(2))

            // Another one takes its place, and gets calls.
            let successor = try machine.start("greeter")
            let address = try await Machine.address(of: successor)
            try await until("the new one is called") {
                let nodes = called.withLock { $0 }
                return try await register.lookup("greeter").contains {
                    nodes.contains($0.id) && $0.addresses == ["tcp://\(address)"]
                }
            }

            // The others end in order, one after the other, and still nothing fails.
            for greeter in greeters.dropFirst() {
                greeter.send(SIGTERM)
                #expect(try await greeter.end().exit == .code(0))
            }
            calls.cancel()
            do {
                #expect(try await calls.value > 0)
            } catch let error as MicroError {
                #expect(error.code == .cancelled)
            }
            successor.send(SIGTERM)
            #expect(try await successor.end().exit == .code(0))
            #expect(try await register.lookup("greeter").isEmpty)
            await client.close()
            await register.close()
        }

        @Test func theFrontDoorFindsGreeters() async throws {
            let machine = try Machine()
            let (frontDoor, address) = try await machine.serve("frontdoor")
            let url = "http://\(address)/frontdoor/Front.Hello"
            // Nobody is there yet: it says so.
            let alone = try await curl("--json", #"{"name":"Ada"}"#, url)
            #expect([404, 503].contains(alone.status), "\(alone.body)")
            #expect(alone.body.contains("greeter"))
            let greeter = try machine.start("greeter")
            try await until("the front door finds it") {
                let answer = try await curl("--json", #"{"name":"Ada"}"#, url)
                return answer.status == 200 && answer.body == #"{"message":"Hello, Ada"}"#
            }
            // The greeter's refusal passes through.
            let refused = try await curl("--json", #"{"name":""}"#, url)
            #expect(refused.status == 400)
            #expect(refused.body.contains("whom to greet is missing"))
            for program in [greeter, frontDoor] {
                program.send(SIGTERM)
                #expect(try await program.end().exit == .code(0))
            }
        }

        // MARK: A register that can't be used

        /// Serves without the register, says why, and enters it when `repair` has been run.
        private func servesWithout(
            _ machine: Machine, says: String, repair: () async throws -> Void
        ) async throws {
            let (greeter, address) = try await machine.serve("greeter")
            let warning = try await greeter.log(with: " not registered")
            #expect(warning.contains(machine.registerPath), "\(warning)")
            #expect(warning.contains(says), "\(warning)")
            let url = "http://\(address)/greeter/Greeter.Hello"
            #expect(try await curl("--json", #"{"name":"Ada"}"#, url).status == 200)
            try await repair()
            _ = try await greeter.log(with: "] registered")
            let found = try await machine.microctl(
                "call", "greeter", "Greeter.Hello", #"{"name":"Ada"}"#)
            #expect(found.output == "{\"message\":\"Hello, Ada\"}\n", "\(found.errors)")
            greeter.send(SIGTERM)
            let result = try await greeter.end()
            #expect(result.exit == .code(0), "\(result.errors)")
        }

        @Test func aRegisterWhoseFolderIsMissing() async throws {
            let machine = try Machine()
            var elsewhere = machine
            elsewhere.registerPath = machine.folder.path + "/later/register.sqlite"
            try await servesWithout(elsewhere, says: "make the folder") {
                #expect(mkdir(machine.folder.path + "/later", 0o700) == 0)
            }
        }

        @Test func aRegisterThatIsCorrupt() async throws {
            let machine = try Machine()
            let garbage = String(repeating: "this is no database ", count: 500)
            try machine.folder.write(garbage, to: "register.sqlite")
            #expect(chmod(machine.registerPath, 0o600) == 0)
            try await servesWithout(machine, says: "delete it") {
                #expect(unlink(machine.registerPath) == 0)
            }
        }

        @Test func aRegisterThatIsLocked() async throws {
            let machine = try Machine()
            // It has to be there to be locked.
            let register = LocalRegister(path: machine.registerPath)
            #expect(try await register.list().isEmpty)
            await register.close()
            let script = """
                import sqlite3, sys
                base = sqlite3.connect(sys.argv[1], isolation_level=None)
                base.execute("BEGIN EXCLUSIVE")
                print("locked", flush=True)
                sys.stdin.read()
                """
            let holder = try Program("python3", ["-c", script, machine.registerPath])
            _ = try await holder.line(with: "locked")
            try await servesWithout(machine, says: "locked") {
                holder.closeInput()
                let result = try await holder.end()
                #expect(result.exit == .code(0))
            }
        }
    }
}

private func pids(of programs: some Sequence<Program>) -> Set<String> {
    Set(programs.map { "\($0.pid)" })
}
