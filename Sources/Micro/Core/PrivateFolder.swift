internal import CMicroCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A folder that is this user's own and closed to others.
enum PrivateFolder {
    /// Creates it when it is missing, and checks owner, mode and that it is not a link.
    static func ensure(_ path: String) throws(SQLiteError) {
        let status = mcore_private_folder(path)
        guard status >= 0 else { throw SQLiteError(status: CoreStatus(raw: status), detail: path) }
    }

    /// Where the processes of a user on this machine meet: `$XDG_RUNTIME_DIR/micro`, or without it
    /// `micro-<uid>` in `$TMPDIR` or `/tmp`.
    static var runtime: String {
        if let folder = absolute("XDG_RUNTIME_DIR") { return folder + "/micro" }
        return "\(absolute("TMPDIR") ?? "/tmp")/micro-\(ProcessEnvironment.userID)"
    }

    /// Where a user's programs keep what has to outlive a restart: `$XDG_STATE_HOME/micro`, or
    /// without it `~/.local/state/micro`; nil: there is no home either.
    static var state: String? {
        if let folder = absolute("XDG_STATE_HOME") { return folder + "/micro" }
        return absolute("HOME").map { $0 + "/.local/state/micro" }
    }

    /// As ``ensure(_:)``; folders above it that are missing are made too.
    static func ensureAll(_ path: String) throws(SQLiteError) {
        var parent = ""
        for part in path.split(separator: "/").dropLast() {
            parent += "/" + part
            // Whatever is wrong with it, `ensure` finds out.
            _ = mkdir(parent, 0o700)
        }
        try ensure(path)
    }

    private static func absolute(_ variable: String) -> String? {
        ProcessEnvironment[variable].flatMap { $0.hasPrefix("/") ? $0 : nil }
    }
}

/// Which file a path leads to.
struct FileIdentity: Hashable, Sendable, CustomStringConvertible {
    private let device: UInt64
    private let number: UInt64

    /// nil when there is none.
    init?(of path: String) {
        var info = stat()
        guard stat(path, &info) == 0 else { return nil }
        self.device = UInt64(truncatingIfNeeded: info.st_dev)
        self.number = UInt64(truncatingIfNeeded: info.st_ino)
    }

    var description: String { "\(device):\(number)" }
}

/// The present run of the machine: monotonic times of another one mean nothing.
enum MachineBoot {
    /// The kernel's random id of this run; empty when the system has none.
    static let id: String = {
        let file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        return withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
            let count = read(file, buffer.baseAddress, buffer.count)
            guard count > 0 else { return "" }
            let bytes = buffer[..<count].prefix { $0 > 0x20 }
            return String(decoding: bytes, as: UTF8.self)
        }
    }()

    /// The same for all processes that reach each other by loopback addresses and paths: those of
    /// this run of the machine, but not those of its other network namespaces.
    static let network: String =
        id + (FileIdentity(of: "/proc/self/ns/net").map { " \($0)" } ?? "")
}
