import Foundation

/// Where the programs are that the tests start. `make integration` builds them and says where.
enum Installation {
    static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    static let microctl = tool("microctl")
    static let interop = tool("micro-interop")
    static let chat = tool("chat")
    static let generator = tool("protoc-gen-micro-swift")
    static let python = folder("MICRO_TEST_PYTHON", ".venv/bin/python")
    static let peers = root + "/Tests/IntegrationTests/Peers"

    /// A program of Examples/quickstart.
    static func quickstart(_ name: String) -> String {
        folder("MICRO_TEST_QUICKSTART", ".build/quickstart/release") + "/" + name
    }

    private static func tool(_ name: String) -> String {
        folder("MICRO_TEST_BIN", ".build/debug") + "/" + name
    }

    private static func folder(_ variable: String, _ usual: String) -> String {
        guard let set = ProcessInfo.processInfo.environment[variable], !set.isEmpty else {
            return "\(root)/\(usual)"
        }
        return set
    }
}

/// A folder that is removed when the test lets go of it.
final class TestFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/micro-it-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestFailure("mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func text(of name: String) throws -> String {
        try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)
    }

    func write(_ text: String, to name: String) throws {
        try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
    }
}

/// A machine of a test's own: its register, and the processes that meet in it.
struct Machine: Sendable {
    let folder: TestFolder
    var registerPath: String

    init() throws {
        folder = try TestFolder()
        registerPath = folder.path + "/register.sqlite"
    }

    var variables: [String: String] {
        [
            "MICRO_REGISTER": "local:\(registerPath)", "MICRO_SERVER_ADDRESS": "127.0.0.1:0",
            "XDG_RUNTIME_DIR": folder.path,
        ]
    }

    /// Starts a program of the quickstart.
    func start(_ name: String, _ changes: [String: String] = [:]) throws -> Program {
        try Program(
            Installation.quickstart(name), environment: variables.merging(changes) { $1 },
            keeping: folder)
    }

    /// Starts one and waits until it serves. Returns it and its "host:port".
    func serve(
        _ name: String, _ changes: [String: String] = [:]
    ) async throws -> (program: Program, address: String) {
        let program = try start(name, changes)
        return (program, try await Machine.address(of: program))
    }

    static func address(of program: Program) async throws -> String {
        let line = try await program.log(with: " ready")
        guard let match = line.firstMatch(of: /tcp:\/\/([^ ]+)/) else {
            throw TestFailure("no address in: \(line)")
        }
        return String(match.1)
    }

    func microctl(_ arguments: String..., input: String = "") async throws -> Program.Result {
        try await Program.run(
            Installation.microctl, arguments, environment: variables, folder: folder.path,
            input: input)
    }
}
