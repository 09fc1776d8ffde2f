import Foundation

/// Peers in Python: gRPC and HTTP/2 implementations that we did not write.
enum Peer {
    /// Starts `script` of the folder Peers.
    static func start(_ script: String, _ arguments: String...) throws -> Program {
        try start(script, arguments)
    }

    static func start(_ script: String, _ arguments: [String]) throws -> Program {
        try Program(
            Installation.python, ["-B", "\(Installation.peers)/\(script)"] + arguments,
            environment: ["PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "NONE"])
    }

    /// Runs a scenario, which prints what it saw as JSON.
    static func observe<Observation: Decodable>(
        _ script: String, _ arguments: String..., as type: Observation.Type = Observation.self
    ) async throws -> Observation {
        let program = try Program(
            Installation.python, ["-B", "\(Installation.peers)/\(script)"] + arguments,
            environment: ["PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "NONE"])
        return try await observation(of: program)
    }

    /// The JSON on the last line of what a peer printed.
    static func observation<Observation: Decodable>(
        of program: Program, as type: Observation.Type = Observation.self
    ) async throws -> Observation {
        program.closeInput()
        let result = try await program.end()
        guard result.exit == .code(0), let line = result.output.split(separator: "\n").last else {
            throw TestFailure("\(result.exit): \(result.output)\(result.errors)")
        }
        return try JSONDecoder().decode(Observation.self, from: Data(line.utf8))
    }
}
