import Glibc
import GreeterAPI
import Micro

/// `make run`: everything up, and what to try.
struct Showcase {
    func run() async throws {
        let address = getenv("FRONTDOOR_ADDRESS").map { String(cString: $0) } ?? "127.0.0.1:8080"
        let greeters = try (1...3).map { _ in try ChildProcess("greeter") }
        let frontDoor = try ChildProcess(
            "frontdoor", environment: ["MICRO_SERVER_ADDRESS": address])
        let children = greeters + [frontDoor]

        // A service of this process: it waits for SIGINT and SIGTERM as every service does.
        var options = ServiceOptions()
        options.logger.logLevel = .warning
        let supervisor = MicroService(name: "quickstart", options: options)
        supervisor.afterStart {
            do {
                try await supervisor.register.waitForService("greeter", nodes: 3, timeout: .seconds(10))
                try await supervisor.register.waitForService("frontdoor", nodes: 1, timeout: .seconds(10))
            } catch {
                for child in children { child.send(SIGTERM) }
                throw error
            }
            say(
                """

                Three greeters and a front door are up: processes \(children.map { "\($0.pid)" }.joined(separator: " ")).
                They found each other in \(supervisor.register.describe()). Try, in another terminal:

                  curl -d '{"name":"Ada"}' http://\(address)/frontdoor/Front.Hello
                  kill -9 \(greeters[0].pid)        # and curl again
                  swift run microctl services
                  swift run microctl call greeter Greeter.Hello '{"name":"Ada"}'

                Ctrl-C ends them all.
                """)
        }
        supervisor.beforeStop { try await Showcase.end(children) }
        try await supervisor.run()
    }

    /// Asks all to end, and waits for it.
    static func end(_ children: [ChildProcess]) async throws {
        for child in children { child.send(SIGTERM) }
        let clock = Environment.current.clock
        let deadline = clock.now.advanced(by: .seconds(15))
        for child in children {
            while child.poll() == nil {
                guard clock.now < deadline else { throw DemoError("process \(child.pid) did not end") }
                try await clock.sleep(for: .milliseconds(20))
            }
        }
    }
}
