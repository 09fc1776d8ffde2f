import Foundation
import Logging
import Micro

/// A service with one endpoint of each kind, and a client of it, on the loopback interface.
struct Rig: Sendable {
    let service: MicroService
    var client: Client { service.client }

    /// Runs `body` while the service is up.
    static func run(tls: Bool, _ body: (Rig) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("micro-soak-\(ProcessInfo.processInfo.processIdentifier)").path
        var options = ServiceOptions()
        options.register = MemoryRegister()
        options.server.addresses = ["127.0.0.1:0"]
        options.handlesSignals = false
        options.drainDelay = .zero
        options.logger.logLevel = .error
        if tls {
            try makeCertificate(in: folder)
            options.server.tls = ServerTLSOptions(
                certificate: .file("\(folder)/cert.pem"), key: .file("\(folder)/key.pem"))
            options.client.tls = ClientTLSOptions(ca: .file("\(folder)/cert.pem"))
        }
        let rig = Rig(service: MicroService(name: "soak", version: "1", options: options))
        rig.addEndpoints()
        try await rig.service.start()
        try await body(rig)
        try await rig.service.stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    private func addEndpoints() {
        service.handle("Soak.Echo") { (bytes: [UInt8], context) in bytes }
        service.exchange("Soak.Exchange") {
            (incoming: Inbound<[UInt8]>, context, out: Outbound<[UInt8]>) in
            for try await bytes in incoming { try await out.send(bytes) }
        }
        // The count as text: bytes in, bytes out, so that no JSON is measured.
        service.stream("Soak.Stream") { (count: [UInt8], context, out: Outbound<[UInt8]>) in
            guard let count = Int(String(decoding: count, as: UTF8.self)) else {
                throw MicroError.invalid("soak.stream", "not a number")
            }
            let message = [UInt8](repeating: 7, count: 32)
            for _ in 0..<count { try await out.send(message) }
        }
    }

    private static func makeCertificate(in folder: String) throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        openssl.arguments = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=soak", "-addext",
            "subjectAltName=IP:127.0.0.1", "-keyout", "\(folder)/key.pem", "-out",
            "\(folder)/cert.pem",
        ]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        guard openssl.terminationStatus == 0 else {
            throw MicroError.unavailable("soak", "openssl made no certificate")
        }
    }
}
