internal import ArgumentParser
internal import Micro

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
        printError("microctl: \(error)")
        throw ExitCode(64 + Int32(error.code.rpc))
    }
}

func printError(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

/// One JSON document on standard output.
func printJSON(_ value: some Encodable) throws {
    print(String(decoding: try JSONCodec().encode(value), as: UTF8.self))
}

/// Columns as wide as their widest cell.
func printTable(_ head: [String], _ rows: [[String]]) {
    let widths = head.indices.map { column in
        ([head] + rows).map { $0[column].count }.max() ?? 0
    }
    for row in [head] + rows {
        let cells = zip(row, widths).map { cell, width in
            cell + String(repeating: " ", count: width - cell.count)
        }
        print(cells.joined(separator: "  ").trimmingTrailingSpaces)
    }
}

extension String {
    fileprivate var trimmingTrailingSpaces: Substring {
        var rest = self[...]
        while rest.last == " " { rest.removeLast() }
        return rest
    }
}

/// The register that the command line names, else the one that services use by default.
func openRegister(_ url: String?) throws -> any Register {
    if let url { return try makeRegister(url: url) }
    return try makeRegister(url: getenv("MICRO_REGISTER").map { String(cString: $0) } ?? "local:")
}
