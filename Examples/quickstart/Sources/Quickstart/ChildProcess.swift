import Glibc

/// A process that was started from an executable beside this one. Its log goes to a file, and
/// Ctrl-C in the terminal does not reach it: whoever started it ends it.
final class ChildProcess: @unchecked Sendable {  // one task uses it at a time
    let name: String
    let pid: pid_t
    private let log: String
    private var exitStatus: Int32?
    private var isTold = false

    /// - Parameters:
    ///   - log: The file to make for what it writes.
    ///   - environment: Set in addition to what this process has.
    init(_ name: String, log: String, environment: [String: String] = [:]) throws {
        let path = try ChildProcess.folder + "/" + name
        var variables = ChildProcess.inherited
        variables["SWIFT_BACKTRACE"] = "enable=no"  // a refusal to start is one line, not a page
        variables.merge(environment) { _, new in new }

        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(path), nil]
        var settings = variables.map { strdup("\($0.key)=\($0.value)") }
        settings.append(nil)
        defer { for text in arguments + settings { free(text) } }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for output in [STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(
                &actions, output, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))

        var pid = pid_t()
        let failure = posix_spawn(&pid, path, &actions, &attributes, &arguments, &settings)
        guard failure == 0 else {
            throw QuickstartError("cannot start \(path): \(String(cString: strerror(failure)))")
        }
        self.name = name
        self.pid = pid
        self.log = log
    }

    func send(_ signal: Int32) { if poll() == nil { kill(pid, signal) } }

    /// Asks it to end in order: once, since a second SIGTERM would end it at once.
    func terminate() {
        guard !isTold else { return }
        isTold = true
        send(SIGTERM)
    }

    /// The exit status if it has ended: 0 is success, 128 + n is a signal.
    func poll() -> Int32? {
        if exitStatus == nil {
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
            exitStatus = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
        }
        return exitStatus
    }

    /// What it wrote of errors.
    var complaints: String {
        guard let file = fopen(log, "r") else { return "" }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = fread(&buffer, 1, buffer.count, file)
        let lines = String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n")
        return lines.filter { $0.contains("error") }.prefix(3).joined(separator: "\n")
    }

    private static var folder: String {
        get throws {
            guard let path = realpath("/proc/self/exe", nil) else {
                throw QuickstartError("cannot find the folder of this executable")
            }
            defer { free(path) }
            let text = String(cString: path)
            return String(text[..<(text.lastIndex(of: "/") ?? text.startIndex)])
        }
    }

    private static var inherited: [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let line = entry.pointee {
            let parts = String(cString: line).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            variables[String(parts[0])] = parts.count > 1 ? String(parts[1]) : ""
            entry += 1
        }
        return variables
    }
}

extension [ChildProcess] {
    /// Asks all to end, and waits for it. All are killed when that takes too long, or at the next
    /// Ctrl-C.
    func end() async {
        let clock = ContinuousClock()
        let deadline = clock.now.advanced(by: .seconds(15))
        let interrupts = Interrupts.count
        for child in self { child.terminate() }
        while contains(where: { $0.poll() == nil }) {
            if Interrupts.count > interrupts || clock.now > deadline {
                for child in self { child.send(SIGKILL) }
            }
            try? await clock.sleep(for: .milliseconds(20))
        }
    }
}
