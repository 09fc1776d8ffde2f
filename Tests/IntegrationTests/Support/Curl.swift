import Foundation

/// What curl got.
struct CurlAnswer: Sendable {
    let status: Int
    let version: String
    /// Names in lower case, of the last answer.
    let headers: [String: String]
    /// "" when it is no text.
    let body: String
    let bytes: [UInt8]
    /// How many connections were opened, for the last of several URLs.
    let connects: Int
    /// All heads, also those of interim answers.
    let heads: String

    var json: [String: Any] {
        get throws {
            let object = try JSONSerialization.jsonObject(with: Data(body.utf8))
            guard let object = object as? [String: Any] else { throw TestFailure("not: \(body)") }
            return object
        }
    }
}

/// Runs curl once; `arguments` end with the URL.
func curl(_ arguments: String...) async throws -> CurlAnswer {
    try await curl(arguments)
}

func curl(_ arguments: [String]) async throws -> CurlAnswer {
    let folder = try TestFolder()
    let format = "%{http_code} %{http_version} %{num_connects}\n"
    let result = try await Program.run(
        "curl",
        ["-sS", "--noproxy", "*", "--max-time", "60", "-o", "body", "-D", "heads", "-w", format]
            + arguments, folder: folder.path)
    guard result.exit == .code(0) else {
        throw TestFailure("curl \(arguments): \(result.exit): \(result.errors)")
    }
    let last = result.output.split(separator: "\n").last ?? ""
    let facts = last.split(separator: " ")
    let heads = try folder.text(of: "heads")
    let lastHead = heads.split(separator: "\r\n\r\n").last ?? ""
    var headers: [String: String] = [:]
    for line in lastHead.split(separator: "\r\n").dropFirst() {
        let parts = line.split(separator: ":", maxSplits: 1)
        headers[parts[0].lowercased()] =
            parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
    }
    guard facts.count == 3, let status = Int(facts[0]), let connects = Int(facts[2]) else {
        throw TestFailure("curl wrote: \(result.output)")
    }
    return CurlAnswer(
        status: status, version: String(facts[1]), headers: headers,
        body: (try? folder.text(of: "body")) ?? "",
        bytes: [UInt8](
            (try? Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/body"))) ?? Data()),
        connects: connects, heads: heads)
}
