import Foundation
import Synchronization

/// A process that a test started. It is killed when the test lets go of it.
final class Program: Sendable {
    /// How a process ended.
    enum Exit: Hashable, Sendable {
        case code(Int32)
        case signal(Int32)
    }

    /// What a process that has ended left behind.
    struct Result: Sendable {
        let exit: Exit
        let output: String
        let errors: String
    }

    let name: String
    let pid: pid_t
    private let life: Life
    private let input: Mutex<Int32?>
    private let outputPipe = PipeReader()
    private let errorPipe = PipeReader()
    private let kept: (any AnyObject & Sendable)?

    /// - Parameters:
    ///   - path: The executable; one without "/" is looked for in PATH.
    ///   - environment: Set in addition to what this process has, but for its `MICRO_` variables.
    ///   - folder: Where it runs.
    ///   - kept: What must be there as long as it runs.
    init(
        _ path: String, _ arguments: [String] = [], environment: [String: String] = [:],
        folder: String? = nil, keeping kept: (any AnyObject & Sendable)? = nil
    ) throws {
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("MICRO_") }
        variables["SWIFT_BACKTRACE"] = "enable=no"
        variables.merge(environment) { _, new in new }

        let (input, output, errors) = (try Pipe(), try Pipe(), try Pipe())
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input.reading, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output.writing, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors.writing, STDERR_FILENO)

        // The runner of the tests ignores SIGPIPE and may block others: a program starts afresh.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let command = folder.map { ["env", "-C", $0, path] } ?? [path]
        var words = (command + arguments).map { strdup($0) } + [nil]
        var settings = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + settings { free(text) } }
        var pid = pid_t()
        let failure = posix_spawnp(&pid, command[0], &actions, &attributes, &words, &settings)
        close(input.reading)
        close(output.writing)
        close(errors.writing)
        guard failure == 0 else {
            for end in [input.writing, output.reading, errors.reading] { close(end) }
            throw TestFailure("cannot start \(path): \(String(cString: strerror(failure)))")
        }
        self.name = path.split(separator: "/").last.map(String.init) ?? path
        self.pid = pid
        self.kept = kept
        self.life = Life(pid: pid)
        self.input = Mutex(input.writing)
        outputPipe.start(output.reading)
        errorPipe.start(errors.reading)
        life.start()
    }

    deinit {
        life.send(SIGKILL)
        closeInput()
    }

    /// What it has written to standard output and standard error so far.
    var output: String { outputPipe.text }
    var errors: String { errorPipe.text }

    /// Whether it has not ended.
    var isRunning: Bool { life.exit == nil }

    /// Nothing happens when it has ended.
    func send(_ signal: Int32) { life.send(signal) }

    /// Whether a SIGSTOP has reached all its threads, which takes a moment.
    var isHalted: Bool {
        let threads = "/proc/\(pid)/task"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: threads)) ?? []
        return !names.isEmpty && names.allSatisfy { name in
            // "pid (name) state …", and the name may have brackets of its own.
            let stat =
                (try? String(contentsOfFile: "\(threads)/\(name)/stat", encoding: .utf8)) ?? ""
            return stat.split(separator: ")").last?.hasPrefix(" T") ?? false
        }
    }

    /// Writes to its standard input.
    func write(_ text: String) throws {
        let bytes = Array(text.utf8)
        let isWritten = input.withLock { file in
            guard let file else { return false }
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes {
                    Foundation.send(file, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
        guard isWritten else { throw TestFailure("\(name) does not take input") }
    }

    /// Ends its standard input.
    func closeInput() {
        input.withLock { file in
            if let open = file.take() { close(open) }
        }
    }

    /// The first line of standard output that contains `text`.
    func line(
        with text: String, within limit: Duration = patience
    ) async throws -> String {
        try await until("\(name) prints \"\(text)\"", within: limit) {
            try self.find(text, in: self.outputPipe)
        } otherwise: {
            self.report
        }
    }

    /// The first line of standard error, where the logs go, that contains `text`.
    func log(with text: String, within limit: Duration = patience) async throws -> String {
        try await until("\(name) logs \"\(text)\"", within: limit) {
            try self.find(text, in: self.errorPipe)
        } otherwise: {
            self.report
        }
    }

    private func find(_ text: String, in pipe: PipeReader) throws -> String? {
        let hasEnded = pipe.hasEnded
        let lines = pipe.text.split(separator: "\n", omittingEmptySubsequences: false)
        // The last one is not complete before the end.
        for line in hasEnded ? lines[...] : lines.dropLast() where line.contains(text) {
            return String(line)
        }
        guard !hasEnded else { throw TestFailure("\(name) never wrote \"\(text)\"; \(report)") }
        return nil
    }

    /// Waits for its end.
    func end(within limit: Duration = patience) async throws -> Result {
        let exit = try await until("\(name) ends", within: limit) {
            // Both pipes too: the last words of a process come before its end is known.
            self.outputPipe.hasEnded && self.errorPipe.hasEnded ? self.life.exit : nil
        } otherwise: {
            self.report
        }
        return Result(exit: exit, output: output, errors: errors)
    }

    /// Runs a program to its end.
    static func run(
        _ path: String, _ arguments: [String] = [], environment: [String: String] = [:],
        folder: String? = nil, input: String = "", within limit: Duration = patience
    ) async throws -> Result {
        let program = try Program(path, arguments, environment: environment, folder: folder)
        if !input.isEmpty { try program.write(input) }
        program.closeInput()
        return try await program.end(within: limit)
    }

    private var report: String {
        let state = life.exit.map { "ended with \($0)" } ?? "runs"
        return "it \(state), output:\n\(output)\nerrors:\n\(errors)"
    }
}

/// Waits for a process, so that its number is not reused while somebody may still signal it.
private final class Life: Sendable {
    private let pid: pid_t
    private let ended = Mutex<Program.Exit?>(nil)

    init(pid: pid_t) { self.pid = pid }

    var exit: Program.Exit? { ended.withLock { $0 } }

    func start() { Thread.detachNewThread { self.wait() } }

    func send(_ signal: Int32) {
        ended.withLock { ended in
            if ended == nil { kill(pid, signal) }
        }
    }

    private func wait() {
        var info = siginfo_t()
        while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        ended.withLock { ended in
            var status: Int32 = 0
            guard waitpid(pid, &status, 0) == pid else { return }
            let signal = status & 0x7F
            ended = signal == 0 ? .code((status >> 8) & 0xFF) : .signal(signal)
        }
    }
}

/// Both ends of a stream that no other process inherits by accident: a pipe is not made so in one
/// step.
private struct Pipe {
    let reading: Int32
    let writing: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw TestFailure("socketpair: \(String(cString: strerror(errno)))")
        }
        (reading, writing) = (ends[0], ends[1])
    }
}

/// Collects what comes out of a pipe.
private final class PipeReader: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var hasEnded = false
    }

    private let state = Mutex(State())

    var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    func start(_ file: Int32) { Thread.detachNewThread { self.read(file) } }

    private func read(_ file: Int32) {
        var part = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Foundation.read(file, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            state.withLock { $0.bytes += part[..<count] }
        }
        close(file)
        state.withLock { $0.hasEnded = true }
    }
}
