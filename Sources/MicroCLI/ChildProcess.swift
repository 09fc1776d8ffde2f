internal import Micro

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A command that runs beside this process, with its files.
///
/// SIGTERM and SIGHUP are passed on to it; an interrupt from the terminal reaches it by itself.
struct ChildProcess: Sendable {
    private let pid: pid_t

    /// How long it may take to end after SIGTERM.
    private static let grace = Duration.seconds(10)

    /// Starts it.
    ///
    /// - Parameters:
    ///   - command: The program, looked for in the PATH, and its arguments.
    ///   - variables: What its environment has beside that of this process.
    /// - Throws: ``MicroError``: it can't be started.
    init(_ command: [String], variables: [String: String]) throws {
        for (name, value) in variables { setenv(name, value, 1) }
        let arguments = command.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        // The thread that this runs on may keep signals out, and a child has what its parent had.
        var (attributes, none) = (posix_spawnattr_t(), sigset_t())
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, command[0], nil, &attributes, arguments + [nil], environ)
        guard code == 0 else {
            throw MicroError.invalid(
                "command", "\"\(command[0])\" can't be run: \(String(cString: strerror(code)))",
                at: "command")
        }
        self.pid = pid
        passedOn = pid
        signal(SIGINT, SIG_IGN)
        for number in [SIGTERM, SIGHUP] {
            signal(number) { if passedOn > 0 { kill(passedOn, $0) } }
        }
    }

    /// Waits for its end. When the task is cancelled, it is ended.
    ///
    /// - Returns: Its exit code; 128 plus the number of the signal that ended it.
    func end() async throws -> Int32 {
        let environment = Environment.current
        let status = try await withTaskCancellationHandler {
            try await environment.offload { [pid] in
                var status: Int32 = 0
                while waitpid(pid, &status, 0) < 0, errno == EINTR {}
                return status
            }
        } onCancel: {
            kill(pid, SIGTERM)
            environment.spawn { [pid] in
                try? await environment.clock.sleep(for: ChildProcess.grace)
                if passedOn == pid { kill(pid, SIGKILL) }
            }
        }
        passedOn = 0
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }
}

/// For the handler of signals, which can be given nothing else. 0: nobody.
nonisolated(unsafe) private var passedOn: pid_t = 0  // One command in the life of the process.
