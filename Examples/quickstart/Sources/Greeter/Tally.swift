import Glibc

/// Counts how often the handler ran, in a way that outlives a SIGKILL: each run is one byte behind
/// the end of a file. Only the demo asks for it.
struct Tally: Sendable {
    private let file: Int32?

    init() throws {
        guard let path = getenv("QUICKSTART_TALLY").map({ String(cString: $0) }) else {
            file = nil
            return
        }
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw TallyError(path: path, reason: String(cString: strerror(errno)))
        }
        file = descriptor
    }

    func count() {
        guard let file else { return }
        _ = write(file, "x", 1)
    }
}

struct TallyError: Error, CustomStringConvertible {
    let path: String
    let reason: String
    var description: String { "cannot count in \(path): \(reason)" }
}
