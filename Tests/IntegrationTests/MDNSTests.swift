import Foundation
import Micro
import MicroTesting
import Testing

/// Multicast on the loopback interface, so that nobody else's network hears of it.
@Suite(.serialized, .timeLimit(.minutes(3))) struct MDNSTests {
    private static let hour = Duration.seconds(3600)

    private static func register() -> MDNSRegister {
        var options = MDNSRegister.Options()
        options.interface = "lo"
        return MDNSRegister(options: options)
    }

    @Test(arguments: [
        "everything about a node comes back", "registering again replaces",
        "deregistering removes, and the empty service with it",
        "a node expires, not early, and watchers are told", "the wildcard sees all namespaces",
        "closing ends watches and refuses calls",
    ])
    func conforms(_ check: String) async throws {
        try await RegisterConformance { Self.register() }.run([check])
    }

    @Test func processesFindEachOther() async throws {
        let (a, b) = (Self.register(), Self.register())
        let node = Self.node("t-\(UInt32.random(in: 0...UInt32.max))")
        try await a.register(node, ttl: Self.hour)
        let found = try await b.waitForService(node.service, timeout: .seconds(30))
        #expect(found == [node])
        let error = await #expect(throws: MicroError.self) {
            try await b.register(node, ttl: Self.hour)
        }
        #expect(error?.code == .alreadyExists)
        await a.close()
        try await until("the node is gone") {
            try await b.lookup(node.service).isEmpty
        }
        await b.close()
    }

    // MARK: A responder that we did not write

    @Test(.enabled(if: Avahi.isPossible, "avahi-daemon needs root, and no other one that runs"))
    func avahiSeesUs() async throws {
        try await Avahi.run { avahi in
            let register = Self.register()
            var node = Self.node("g-1")
            node.metadata = ["rack": "7"]
            try await register.register(node, ttl: Self.hour)
            // Event, interface, protocol, instance, type, domain, host, address, port, text.
            for type in ["_micro._tcp", "_\(node.service)._sub._micro._tcp"] {
                let lines = try await avahi.browse(type)
                let line = try #require(lines.first { $0.hasPrefix("=;lo;IPv4;g-1\\064") })
                let fields = line.split(separator: ";", omittingEmptySubsequences: false)
                #expect(fields[4] == "_micro._tcp")
                #expect(fields[7] == "127.0.0.1")
                #expect(fields[8] == "4711")
                for text in ["\"txtvers=1\"", "\"id=g-1\"", "\"service=\(node.service)\""] {
                    #expect(line.contains(text))
                }
            }
            let types = try await avahi.run("avahi-browse", ["-atp"])
            #expect(types.contains(";_micro._tcp;local"))
            // It says goodbye, and is forgotten a second later.
            await register.close()
            try await until("avahi forgets it") {
                try await !avahi.browse("_micro._tcp").contains { $0.contains("g-1") }
            }
        }
    }

    @Test(.enabled(if: Avahi.isPossible, "avahi-daemon needs root, and no other one that runs"))
    func weSeeWhatAvahiPublishes() async throws {
        try await Avahi.run { avahi in
            let register = Self.register()
            let service = "web\(UInt32.random(in: 0...UInt32.max))"
            let publisher = try avahi.start(
                "avahi-publish",
                ["-s", "Web server (2)", "_micro._tcp", "80", "service=\(service)", "version=3"])
            let found = try await register.waitForService(service, timeout: .seconds(30))
            let node = try #require(found.first)
            #expect(node.id == "Web-server--2-")
            #expect(node.version == "3")
            #expect(node.addresses.contains("tcp://127.0.0.1:80"))
            publisher.send(SIGTERM)
            _ = try await publisher.end()
            try await until("the node is gone") {
                try await register.lookup(service).isEmpty
            }
            await register.close()
        }
    }

    private static func node(_ id: String) -> ServiceNode {
        ServiceNode(
            id: id, service: "greeter\(UInt32.random(in: 0...UInt32.max))", version: "1",
            addresses: ["tcp://127.0.0.1:4711"])  // tidy: not bound
    }
}

/// avahi-daemon on the loopback interface, with a message bus of its own.
private struct Avahi: Sendable {
    private let folder: TestFolder

    /// Whether one can run: it wants to be root, and one on a machine is enough.
    static let isPossible: Bool = {
        guard geteuid() == 0 else { return false }
        guard let pid = try? String(contentsOfFile: "/run/avahi-daemon/pid", encoding: .utf8),
            let number = pid_t(pid.trimmingCharacters(in: .whitespacesAndNewlines))
        else { return true }
        return kill(number, 0) != 0
    }()

    static func run(_ body: (Avahi) async throws -> Void) async throws {
        let avahi = Avahi(folder: try TestFolder())
        try avahi.folder.write(avahi.busConfiguration, to: "bus.conf")
        try avahi.folder.write(avahi.configuration, to: "avahi.conf")
        let bus = try avahi.start(
            "dbus-daemon",
            ["--config-file=\(avahi.folder.path)/bus.conf", "--nofork", "--print-address=1"])
        _ = try await bus.line(with: "unix:path=")
        let daemon = try avahi.start(
            "avahi-daemon",
            [
                "-f", "\(avahi.folder.path)/avahi.conf", "--no-drop-root", "--no-chroot",
                "--no-rlimits", "--no-proc-title",
            ])
        _ = try await daemon.log(with: "Server startup complete")
        do {
            try await body(avahi)
        } catch {
            try await stop(daemon, bus)
            throw error
        }
        try await stop(daemon, bus)
    }

    private static func stop(_ programs: Program...) async throws {
        for program in programs {
            program.send(SIGTERM)
            _ = try await program.end()
        }
    }

    func start(_ path: String, _ arguments: [String]) throws -> Program {
        try Program(path, arguments, environment: variables, keeping: folder)
    }

    func run(_ path: String, _ arguments: [String]) async throws -> String {
        try await Program.run(path, arguments, environment: variables).output
    }

    /// The services of a type, as lines of fields.
    func browse(_ type: String) async throws -> [Substring] {
        try await run("avahi-browse", ["-rpt", type]).split(separator: "\n")
    }

    private var variables: [String: String] {
        [
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=\(folder.path)/bus",
            "PATH": (ProcessInfo.processInfo.environment["PATH"] ?? "") + ":/usr/sbin:/sbin",
        ]
    }

    private var busConfiguration: String {
        """
        <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
          "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
        <busconfig>
          <listen>unix:path=\(folder.path)/bus</listen>
          <auth>EXTERNAL</auth>
          <policy context="default">
            <allow send_destination="*" eavesdrop="true"/>
            <allow eavesdrop="true"/>
            <allow own="*"/>
          </policy>
        </busconfig>
        """
    }

    private var configuration: String {
        """
        [server]
        host-name=micro-test
        use-ipv4=yes
        use-ipv6=no
        allow-interfaces=lo
        [publish]
        publish-workstation=no
        """
    }
}
