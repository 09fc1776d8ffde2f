internal import Micro
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Standard input. Whoever waits for it does not keep the process from ending: neither the buffers
/// of C are between, which an exit takes hold of, nor the workers of the event loops, which it
/// joins.
final class StandardInput: Sendable {
    private let state = Mutex(State())

    /// All of it, up to its end. Blocks.
    func readAll() throws -> [UInt8] {
        try state.withLock { state in
            while try state.fill() {}
            return state.takeAll()
        }
    }

    /// The next line, without its end; nil behind the last one. One task at a time.
    func line() async throws -> [UInt8]? {
        if let line = state.withLock({ $0.takeLine() }) { return line }
        return try await withCheckedThrowingContinuation { continuation in
            do {
                try LoopThread(named: "stdin") {
                    continuation.resume(
                        with: Result { try self.state.withLock { try $0.readLine() } })
                }.detach()
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }

    private struct State {
        /// More than any server takes as a message.
        private static let lineBytesMax = 64 << 20

        private var bytes: [UInt8] = []
        /// How many of them were searched for the end of a line.
        private var searched = 0
        private var part = [UInt8](repeating: 0, count: 64 << 10)

        mutating func readLine() throws -> [UInt8]? {
            while true {
                if let line = takeLine() { return line }
                guard bytes.count <= Self.lineBytesMax else {
                    throw MicroError(
                        "microctl", .resourceExhausted,
                        "a line of standard input is longer than \(Self.lineBytesMax) bytes")
                }
                if try !fill() { return bytes.isEmpty ? nil : takeAll() }
            }
        }

        mutating func takeLine() -> [UInt8]? {
            guard let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) else {
                searched = bytes.count
                return nil
            }
            defer {
                bytes.removeSubrange(...end)
                searched = 0
            }
            return Array(bytes[..<end])
        }

        mutating func takeAll() -> [UInt8] {
            defer { (bytes, searched) = ([], 0) }
            return bytes
        }

        /// - Returns: Whether something came.
        mutating func fill() throws -> Bool {
            while true {
                let count = read(STDIN_FILENO, &part, part.count)
                if count > 0 {
                    bytes += part[..<count]
                    return true
                }
                if count == 0 { return false }
                guard errno == EINTR else {
                    throw MicroError(
                        "microctl", .failedPrecondition,
                        "cannot read standard input: \(String(cString: strerror(errno)))")
                }
            }
        }
    }
}
