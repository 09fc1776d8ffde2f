import Foundation

/// An authority and its certificates in a folder, made by the `openssl` command.
final class Certificates: Sendable {
    let folder: TestFolder
    private let authority: String

    /// - Parameter authority: The name of its files and, behind "CN=Test ", of its subject.
    init(_ authority: String = "ca", in folder: TestFolder? = nil) async throws {
        self.folder = try folder ?? TestFolder()
        self.authority = authority
        try await make(
            authority, subject: "Test \(authority)",
            ["basicConstraints = critical,CA:TRUE", "keyUsage = critical,keyCertSign"])
    }

    func path(_ name: String) -> String { "\(folder.path)/\(name)" }

    /// The certificate of the authority.
    var ca: String { path("\(authority).pem") }

    /// Makes NAME.pem and NAME.key.
    func issue(_ name: String, _ alternativeNames: String, usage: String) async throws {
        try await make(
            name, subject: name,
            [
                "basicConstraints = critical,CA:FALSE", "subjectAltName = \(alternativeNames)",
                "extendedKeyUsage = \(usage)",
            ], ["-CA", "\(authority).pem", "-CAkey", "\(authority).key"])
    }

    private func make(
        _ name: String, subject: String, _ extensions: [String], _ arguments: [String] = []
    ) async throws {
        let configuration =
            [
                "[req]", "prompt = no", "distinguished_name = subject", "x509_extensions = ext",
                "[subject]", "CN = \(subject)", "[ext]",
            ] + extensions
        try folder.write(configuration.joined(separator: "\n") + "\n", to: "\(name).cnf")
        let result = try await Program.run(
            "openssl",
            [
                "req", "-x509", "-days", "2", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-config", "\(name).cnf", "-out",
                "\(name).pem", "-keyout", "\(name).key",
            ] + arguments, folder: folder.path)
        guard result.exit == .code(0) else { throw TestFailure("openssl: \(result.errors)") }
    }
}
