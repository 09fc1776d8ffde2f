#if canImport(Glibc)
    @preconcurrency internal import Glibc
#elseif canImport(Musl)
    @preconcurrency internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Reads a whole file. Blocks: call it inside ``Environment/offload(_:)``.
///
/// - Parameters:
///   - path: Relative to the working directory, or absolute.
///   - maxBytes: A larger file is refused, and not read to the end.
/// - Throws: ``MicroError``: `notFound`, `permissionDenied`, `invalidArgument` (a folder, a NUL in
///   the path), `payloadTooLarge`, `unavailable` (any other failure, with its number).
func readFile(_ path: String, maxBytes: Int) throws(MicroError) -> [UInt8] {
    guard !path.isEmpty, !path.utf8.contains(0) else {
        throw .invalid("file.read", "the path \"\(path)\" is empty or has a NUL", at: "path")
    }
    let file = retryingInterrupted { Int(open(path, O_RDONLY | O_CLOEXEC)) }
    guard file >= 0 else { throw fileError(errno, path) }
    defer { close(Int32(truncatingIfNeeded: file)) }

    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let count = chunk.withUnsafeMutableBytes { buffer in
            retryingInterrupted {
                read(Int32(truncatingIfNeeded: file), buffer.baseAddress, buffer.count)
            }
        }
        guard count >= 0 else { throw fileError(errno, path) }
        guard count > 0 else { return bytes }
        guard bytes.count + count <= maxBytes else {
            throw .payloadTooLarge(
                "file.read", "\(path) has more than \(maxBytes) bytes, which is the limit")
        }
        bytes += chunk[..<count]
    }
}

/// The folder that a file is in: "/run" of "/run/x", "." of "x".
func parentFolder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// The environment variables of the process, as they are now. Another thread must not change them
/// meanwhile: that is so for every reader of them in C.
func processVariables() -> [String: String] {
    var variables: [String: String] = [:]
    guard var entry = environmentBlock() else { return variables }
    while let text = entry.pointee {
        let pair = String(cString: text).split(
            separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
        entry += 1
    }
    return variables
}

private func environmentBlock() -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
    #if canImport(Darwin)
        _NSGetEnviron().pointee
    #else
        environ
    #endif
}

/// A signal may interrupt a system call that has done nothing yet.
private func retryingInterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}

private func fileError(_ number: Int32, _ path: String) -> MicroError {
    switch number {
    case ENOENT, ENOTDIR: .notFound("file.read", "there is no file \(path)")
    case EACCES, EPERM: .permissionDenied("file.read", "\(path) may not be read by this user")
    case EISDIR: .invalid("file.read", "\(path) is a folder", at: "path")
    default: .unavailable("file.read", "\(path) cannot be read: error \(number) of the system")
    }
}
