import Glibc
import Micro

/// `make run`: everything up, and what to try.
struct Showcase {
    private let wanted = variable("FRONTDOOR_ADDRESS") ?? "127.0.0.1:8080"

    /// Returns after Ctrl-C, when all that was started has ended.
    func run() async throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        var children: [ChildProcess] = []
        do {
            // Greeters listen where their transport likes (on any free port): nobody needs to know
            // but the register.
            for number in 1...3 {
                let greeter = try ChildProcess(
                    "greeter", log: "\(folder.path)/greeter-\(number).log",
                    environment: ["MICRO_SERVER_ADDRESS": ""])
                children.append(greeter)
            }
            let frontDoor = try ChildProcess(
                "frontdoor", log: "\(folder.path)/frontdoor.log",
                // For curl, whatever MICRO_TRANSPORT says.
                environment: ["MICRO_SERVER_ADDRESS": "tcp://\(wanted)"])
            children.append(frontDoor)
            try await supervise(children, folder)
        } catch {
            await children.end()
            throw error
        }
        await children.end()
        say("\nAll have ended.")
    }

    private func supervise(_ children: [ChildProcess], _ folder: TemporaryFolder) async throws {
        let register = try makeRegister(url: variable("MICRO_REGISTER") ?? "local:")
        guard let url = try await waitUntilUp(children, register) else { return }
        say(
            """

            Three greeters and a front door are up, and found each other in
            \(register.describe()). Try, in another terminal:

              curl --json '{"name":"Ada"}' \(url)/frontdoor/Front.Hello
              swift run microctl services
              swift run microctl call greeter Greeter.Hello '{"name":"Ada"}'
              kill -9 \(children[0].pid)            # one greeter less: curl again
              tail \(folder.path)/*.log

            Ctrl-C ends them all.
            """)
        var ended: Set<pid_t> = []
        while Interrupts.count == 0 {
            for child in children where !ended.contains(child.pid) {
                guard let status = child.poll() else { continue }
                say("The \(child.name) \(child.pid) has ended, with status \(status).")
                ended.insert(child.pid)
            }
            try await Environment.current.clock.sleep(for: .milliseconds(50))
        }
    }

    /// The front door's URL, as soon as the register has all of them; nil after Ctrl-C.
    private func waitUntilUp(
        _ children: [ChildProcess], _ register: any Register
    ) async throws -> String? {
        let clock = Environment.current.clock
        let deadline = clock.now.advanced(by: .seconds(30))
        while Interrupts.count == 0 {
            for child in children {
                if let status = child.poll() { throw failure(of: child, status) }
            }
            let frontDoors = try await register.lookup("frontdoor")
            let nodes = try await register.lookup("greeter") + frontDoors
            let processes = Set(nodes.compactMap { $0.metadata["pid"] })
            let missing = children.filter { !processes.contains("\($0.pid)") }
            if missing.isEmpty {
                let mine = frontDoors.first { $0.metadata["pid"] == "\(children[3].pid)" }
                let address = mine?.addresses.first ?? wanted
                return address.hasPrefix("tcp://") ? "http://\(address.dropFirst(6))" : address
            }
            guard clock.now < deadline else {
                throw QuickstartError(
                    "not in \(register.describe()) after 30 s: "
                        + missing.map { "\($0.name): \($0.complaints)" }.joined(separator: "\n"))
            }
            try await clock.sleep(for: .milliseconds(50))
        }
        return nil
    }

    private func failure(of child: ChildProcess, _ status: Int32) -> QuickstartError {
        var text = "the \(child.name) ended at its start, with status \(status):"
        text += "\n\(child.complaints)"
        if child.name == "frontdoor" {
            text += "\nIf \(wanted) is taken, choose another address:"
            text += "\n\n  FRONTDOOR_ADDRESS=127.0.0.1:8081 make run"
        }
        return QuickstartError(text)
    }
}

private func variable(_ name: String) -> String? {
    guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
    return value
}
