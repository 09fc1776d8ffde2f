internal import ArgumentParser
internal import Micro

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// `microctl lock NAME -- COMMAND…`
struct LockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lock", abstract: "Runs a command while it holds a lock.",
        discussion: """
              export MICRO_SYNC=sqlite:/var/lib/shop.sqlite
              microctl lock nightly-report --timeout 10m -- ./report --to mail

            The lock is renewed while the command runs, and released at its end. The fencing
            token is in the command's environment as MICRO_LOCK_TOKEN. When the lock is lost,
            the command is ended: by SIGTERM, and by SIGKILL after 10 seconds.

            The exit code is that of the command, and 128 plus the signal that ended it; 68
            when the lock was not free in time, 74 when it was lost.
            """)

    @Argument(help: "The lock.") var name: String
    @Option(help: "How long others wait at most when this process dies: 30s, 10m.")
    var ttl = "30s"
    @Option(help: "How long to wait for the lock: 30s, 10m; 0s: not at all. Default: for ever.")
    var timeout: String?
    @Option(help: "Where locks are: sqlite:/run/shop.sqlite. Default: MICRO_SYNC, MICRO_STORE.")
    var sync: String?
    @Argument(parsing: .postTerminator, help: "The command and its arguments, behind --.")
    var command: [String] = []

    func validate() throws {
        guard !command.isEmpty else {
            throw ValidationError("there is no command: write it behind --")
        }
    }

    func run() async throws {
        let (ttl, timeout) = (try duration("--ttl", ttl), try timeout.map(self.timeout))
        let command = command
        let code = ExitStatus()
        try await reportingErrors {
            let sync = try openSync()
            do {
                try await sync.withLock(name, ttl: ttl, timeout: timeout) { lease in
                    let child = try ChildProcess(
                        command,
                        variables: [
                            "MICRO_LOCK_TOKEN": String(lease.token), "MICRO_LOCK_NAME": lease.name,
                        ])
                    code.value = try await child.end()
                }
                await sync.close()
            } catch {
                await sync.close()
                throw error
            }
        }
        if code.value != 0 { throw ExitCode(code.value) }
    }

    private func openSync() throws -> any Sync {
        let set = ["MICRO_SYNC", "MICRO_STORE"].compactMap { (variable: String) -> String? in
            getenv(variable).map { String(cString: $0) }
        }
        let url = sync ?? set.first { !$0.isEmpty && $0 != "store:" } ?? ""
        guard !url.isEmpty, url != "memory:" else {
            throw MicroError.invalid(
                "lock",
                "no locks are named that other processes see: set MICRO_SYNC or give --sync, e.g."
                    + " sqlite:/var/lib/shop.sqlite", at: "sync")
        }
        return try makeSync(url: url)
    }

    private func duration(_ option: String, _ text: String) throws -> Duration {
        guard let duration = Duration(text: text), duration > .zero else {
            throw ValidationError("\(option) is \"\(text)\": write 30s, 10m or 2h, more than 0")
        }
        return duration
    }

    private func timeout(_ text: String) throws -> Duration {
        guard let duration = Duration(text: text), duration >= .zero else {
            throw ValidationError("--timeout is \"\(text)\": write 30s, 10m or 2h")
        }
        return duration
    }
}

/// What the command ended with.
private final class ExitStatus: Sendable {
    nonisolated(unsafe) var value: Int32 = 0  // Written by the body, read when that has ended.
}
