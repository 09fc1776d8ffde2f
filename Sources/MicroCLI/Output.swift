internal import ArgumentParser
internal import Micro
internal import MicroEtcd

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Prints an error as one line on standard error, and ends with 64 plus its gRPC status code.
func reportingErrors(_ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch let error as MicroError {
        printError(error)
        throw ExitCode(64 + Int32(error.code.rpc))
    }
}

/// One line on standard error.
func printError(_ error: MicroError) {
    write(Array("microctl: \(error)\n".utf8), to: STDERR_FILENO)
}

/// What is not the result, on standard error.
func printNote(_ text: String) {
    write(Array("microctl: \(text)\n".utf8), to: STDERR_FILENO)
}

/// The bytes and an end of line, on standard output.
func printBytes(_ bytes: [UInt8]) {
    write(bytes + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
}

/// One JSON document on standard output.
func printJSON(_ value: some Encodable) throws {
    printBytes(try JSONCodec().encode(value))
}

/// Columns as wide as their widest cell.
func printTable(_ head: [String], _ rows: [[String]]) {
    for line in tableLines(head, rows) { print(line) }
}

/// The register that the command line names, else the one that services use by default.
func openRegister(_ url: String?) throws -> any Register {
    let engines = EtcdRegister.engines
    if let url { return try makeRegister(url: url, engines: engines) }
    let set = getenv("MICRO_REGISTER").map { String(cString: $0) } ?? ""
    return try makeRegister(url: set.isEmpty ? "local:" : set, engines: engines)
}

private func write(_ bytes: [UInt8], to file: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        guard count > 0 || errno == EINTR else { return }
        rest = rest.dropFirst(max(0, count))
    }
}
