import Logging
import MicroTesting
import Synchronization
import Testing

@testable import Micro

#if canImport(Glibc)
    import Glibc
#endif

/// What every transport does, on each that is built in.
@Suite(.timeLimit(.minutes(10)))
struct SocketTransportConformanceTests {
    @Test(arguments: TransportConformance.checks, [1, 2, 3] as [UInt64])
    func memoryInSimulation(check: String, seed: UInt64) async throws {
        try await withSimulation(seed: seed) {
            try await TransportConformance(address: "memory://a") { SocketTransport() }
                .run([check])
        }
    }

    /// In pieces of a few bytes, and late.
    @Test(arguments: TransportConformance.checks)
    func memoryInPieces(check: String) async throws {
        try await withSimulation(seed: 1) {
            var faults = TransportFaults()
            faults.readBytes = check == "a slow reader stops the sender" ? 5000 : 700
            faults.writeBytes = faults.readBytes
            faults.delay = .milliseconds(2)
            var options = SocketTransportOptions()
            options.transports = [try TransportPlugin(faults: faults, in: "memory")]
            let made = options
            try await TransportConformance(
                address: "memory://a", patience: .seconds(600)
            ) { SocketTransport(options: made) }.run([check])
        }
    }

    @Test(arguments: TransportConformance.checks)
    func memoryOnThreads(check: String) async throws {
        let number = SocketTransportConformanceTests.number()
        try await TransportConformance(address: "memory://\(number)") { SocketTransport() }
            .run([check])
    }

    @Test(arguments: TransportConformance.checks)
    func tcp(check: String) async throws {
        try await TransportConformance(address: "127.0.0.1:0") { SocketTransport() }.run([check])
    }

    @Test(arguments: TransportConformance.checks)
    func unix(check: String) async throws {
        let address = "unix://@micro-transport-\(getpid())-\(Self.number())"
        try await TransportConformance(address: address) { SocketTransport() }.run([check])
    }

    @Test(arguments: TransportConformance.checks)
    func tls(check: String) async throws {
        let options = try TestCertificates.shared.get().options
        try await TransportConformance(address: "127.0.0.1:0") {
            SocketTransport(options: options, logger: .quiet)
        }.run([check])
    }

    private static let last = Atomic<Int>(0)

    private static func number() -> Int { last.wrappingAdd(1, ordering: .relaxed).newValue }
}

extension Logger {
    fileprivate static var quiet: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }
}

/// Both sides show who they are.
private struct TestCertificates: Sendable {
    let root: CertificateAuthority
    let options: SocketTransportOptions

    static let shared = Result { try TestCertificates() }

    init() throws {
        root = try CertificateAuthority.create("Root")
        let server = try root.issue("server", names: ["127.0.0.1"], use: .server)
        let client = try root.issue("client", names: ["spiffe://test/client"], use: .client)
        options = SocketTransportOptions(
            serverTLS: ServerTLSOptions(
                certificate: .pem(server.certificate), key: .pem(server.key),
                clientCertificates: .required(ca: .pem(root.certificate))),
            clientTLS: ClientTLSOptions(
                ca: .pem(root.certificate), certificate: .pem(client.certificate),
                key: .pem(client.key)))
    }
}

/// Limits, time, and peers that are not ours.
@Suite(.timeLimit(.minutes(10)))
struct SocketTransportTests {
    private func text(_ text: String) -> TransportMessage {
        TransportMessage(body: Array(text.utf8))
    }

    // MARK: Limits

    @Test func messagesHaveLimits() async throws {
        try await withSimulation(seed: 1) {
            var options = SocketTransportOptions()
            options.maxBodyBytes = 5
            options.maxHeaderBytes = 20
            options.maxHeaderCount = 2
            let transport = SocketTransport(options: options)
            let listener = try await transport.listen("memory://a")
            let socket = try await transport.dial("memory://a")
            let rows: [(TransportMessage, String)] = [
                (text("123456"), "a body of 6 bytes, 5 are allowed"),
                (
                    TransportMessage(header: ["ab": "0123456789abc"]),
                    "21 bytes of headers, 20 are allowed"
                ),
                (
                    TransportMessage(header: ["a": "", "b": "", "c": ""]),
                    "more than 2 headers"
                ),
            ]
            for (message, detail) in rows {
                let error = await expectError(.resourceExhausted, reason: "MESSAGE_TOO_LARGE") {
                    try await socket.send(message)
                }
                #expect(error?.detail.contains(detail) == true, "\(String(describing: error))")
            }
            try await socket.send(text("12345"))
            let accepted = try #require(try await listener.accept())
            #expect(try await accepted.receive() == text("12345"))
        }
    }

    /// Its limits are its own: a peer that allows more is stopped.
    @Test func aPeerThatSendsTooMuchIsCutOff() async throws {
        try await withSimulation(seed: 1) {
            var options = SocketTransportOptions()
            options.maxBodyBytes = 5
            let listener = try await SocketTransport(options: options).listen("memory://a")
            let socket = try await SocketTransport().dial("memory://a")
            try await socket.send(text("123456"))
            let accepted = try #require(try await listener.accept())
            let error = await expectError(.resourceExhausted, reason: "LIMIT") {
                _ = try await accepted.receive()
            }
            #expect(error?.detail.hasSuffix("a body of 6 bytes, 5 are allowed") == true)
            await expectError(.unavailable, reason: "DISCONNECTED") {
                _ = try await socket.receive()
            }
        }
    }

    @Test func socketsThatNobodyTakesHaveABound() async throws {
        try await withSimulation(seed: 1) {
            var options = SocketTransportOptions()
            options.maxUnaccepted = 2
            let transport = SocketTransport(options: options)
            let listener = try await transport.listen("memory://a")
            let first = try await transport.dial("memory://a")
            let second = try await transport.dial("memory://a")
            await expectError(.unavailable, reason: "DISCONNECTED") {
                _ = try await transport.dial("memory://a")
            }
            let accepted = try #require(try await listener.accept())
            try await first.send(text("first"))
            #expect(try await accepted.receive() == text("first"))
            _ = try await transport.dial("memory://a")
            _ = second
        }
    }

    @Test func socketsHaveABound() async throws {
        try await withSimulation(seed: 1) {
            var options = SocketTransportOptions()
            options.maxSocketsPerLoop = 2
            let transport = SocketTransport(options: options)
            let listener = try await transport.listen("memory://a")
            let socket = try await transport.dial("memory://a")
            await expectError(.resourceExhausted, reason: "LIMIT") {
                _ = try await transport.dial("memory://a")
            }
            await socket.close()
            _ = try await listener.accept()
        }
    }

    @Test func wrongOptionsAreAllNamed() async throws {
        var options = SocketTransportOptions()
        options.maxBodyBytes = 0
        options.closeTimeout = .zero
        let error = await expectError(.invalidArgument, reason: "INVALID") {
            _ = try await SocketTransport(options: options).listen("memory://a")
        }
        #expect(error?.detail.contains("maxBodyBytes") == true)
        #expect(error?.detail.contains("closeTimeout") == true)
    }

    // MARK: Time

    @Test func sendersWaitInTheirOrder() async throws {
        try await withSimulation(seed: 1) {
            let transport = SocketTransport()
            let listener = try await transport.listen("memory://a")
            let socket = try await transport.dial("memory://a")
            let accepted = try #require(try await listener.accept())
            let big = [UInt8](repeating: 1, count: 300_000)
            try await socket.send(TransportMessage(body: big))
            let environment = Environment.current
            var senders: [SpawnedTask] = []
            for number in 0..<5 {
                senders.append(
                    environment.spawn { try? await socket.send(text("\(number)")) })
                try await environment.clock.sleep(for: .milliseconds(1))
            }
            senders[2].cancel()
            await senders[2].wait()
            await expectError(.deadlineExceeded, reason: "TIMEOUT") {
                try await socket.send(text("late"), timeout: .milliseconds(10))
            }
            #expect(try await accepted.receive()?.body.count == big.count)
            for number in [0, 1, 3, 4] {
                #expect(try await accepted.receive() == text("\(number)"))
            }
            for sender in senders { await sender.wait() }
            await socket.close()
            #expect(try await accepted.receive() == nil)
        }
    }

    /// The other side never takes what was sent.
    @Test func closingGivesUpInTime() async throws {
        try await withSimulation(seed: 1) {
            let transport = SocketTransport()
            let clock = Environment.current.clock
            let listener = try await transport.listen("memory://a")
            let socket = try await transport.dial("memory://a")
            let accepted = try #require(try await listener.accept())
            let big = [UInt8](repeating: 1, count: 300_000)
            try await socket.send(TransportMessage(body: big))
            let start = clock.now
            await socket.close()
            let waited = start.duration(to: clock.now)
            #expect(waited >= .seconds(10) && waited < .seconds(11))
            await accepted.close()

            let impatient = try await transport.dial("memory://a")
            let other = try #require(try await listener.accept())
            try await impatient.send(TransportMessage(body: big))
            let closing = Environment.current.spawn { await impatient.close() }
            try await clock.sleep(for: .seconds(1))
            closing.cancel()
            await closing.wait()
            #expect(start.duration(to: clock.now) < .seconds(13))
            await other.close()
        }
    }

    @Test func diallingCanBeCancelled() async throws {
        try await withSimulation(seed: 1) {
            let transport = SocketTransport()
            let listener = try await transport.listen("memory://a")
            let environment = Environment.current
            for _ in 0..<3 {
                let dialling = environment.spawn { _ = try? await transport.dial("memory://a") }
                dialling.cancel()
                await dialling.wait()
            }
            let socket = try await transport.dial("memory://a")
            try await socket.send(text("here"))
            var seen: [TransportMessage] = []
            while let accepted = try? await listener.accept(timeout: .milliseconds(10)) {
                if let message = try? await accepted.receive() { seen.append(message) }
            }
            #expect(seen == [text("here")])
        }
    }

    /// A peer that takes connections and never says a word.
    @Test func diallingEndsInTime() async throws {
        let silent = try SilentListener()
        await expectError(.deadlineExceeded, reason: "TIMEOUT") {
            _ = try await SocketTransport().dial(
                "127.0.0.1:\(silent.port)", timeout: .milliseconds(100))
        }
    }

    @Test func loopsThatEndLeaveNobodyWaiting() async throws {
        let loops = try EventLoops(count: 1)
        let transport = SocketTransport(environment: Environment(loops: loops))
        let listener = try await transport.listen("127.0.0.1:0")
        await listener.close()
        loops.stop()
        await expectError(.unavailable) { _ = try await listener.accept() }
        await expectError(.unavailable) { _ = try await transport.dial("127.0.0.1:1") }
    }

    // MARK: Peers that are not ours

    @Test func anRPCClientIsTurnedAway() async throws {
        let transport = SocketTransport()
        let listener = try await transport.listen("127.0.0.1:0")
        var options = ClientOptions()
        options.retry = .never
        let client = Client(resolver: StaticResolver([:]), options: options)
        await expectError(.unavailable) {
            let _: String = try await client.call(
                "a", "A.B", "?",
                options: CallOptions(timeout: .seconds(60), address: listener.address))
        }
        await client.close()
        let socket = try await transport.dial(listener.address)
        try await socket.send(text("ours"))
        let accepted = try #require(try await listener.accept())
        #expect(try await accepted.receive() == text("ours"))
    }

    @Test func anRPCServerIsNotDialled() async throws {
        let server = Server(
            name: "a", options: ServerOptions(addresses: ["127.0.0.1:0"]), logger: .quiet)
        try await server.start()
        let address = try #require(server.addresses.first)
        do {
            _ = try await SocketTransport().dial(address)
            Issue.record("it was dialled")
        } catch let error as MicroError {
            #expect(["PROTOCOL", "DISCONNECTED"].contains(error.reason), "\(error)")
        }
        try await server.drain(grace: .zero)
    }

    /// HTTP, and a peer of ours that closes its own half only.
    @Test func bytesOfOthers() async throws {
        let listener = try await SocketTransport().listen("127.0.0.1:0")
        let http = try RawPeer(listener.address)
        try http.send(Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8))
        #expect(http.readAll().isEmpty)

        let preface = [0xF8] + Array("micro\n".utf8) + [1]
        let half = try RawPeer(listener.address)
        let end = [UInt8](repeating: 0xFF, count: 8)
        try half.send(preface + [0, 0, 0, 0, 0, 0, 0, 2] + Array("hi".utf8) + end)
        half.endOutput()
        let accepted = try #require(try await listener.accept())
        #expect(try await accepted.receive() == text("hi"))
        #expect(try await accepted.receive() == nil)
        try await accepted.send(text("back"))
        await accepted.close()
        #expect(
            half.readAll() == preface + [0, 0, 0, 0, 0, 0, 0, 4] + Array("back".utf8) + end)

        let broken = try RawPeer(listener.address)
        try broken.send(preface + [0, 0, 0, 0, 0, 0, 0, 2] + Array("h".utf8))
        broken.endOutput()
        let other = try #require(try await listener.accept())
        await expectError(.unavailable, reason: "DISCONNECTED") { _ = try await other.receive() }
    }

    // MARK: TLS

    @Test func bothSidesKnowEachOther() async throws {
        let certificates = try TestCertificates.shared.get()
        let transport = SocketTransport(options: certificates.options, logger: .quiet)
        let listener = try await transport.listen("127.0.0.1:0")
        #expect(listener.address.hasPrefix("tls://"))
        let socket = try await transport.dial(listener.address)
        let accepted = try #require(try await listener.accept())
        #expect(accepted.peerIdentity?.spiffeID == "spiffe://test/client")
        #expect(socket.peerIdentity?.subject == "CN=server")
        await socket.close()

        await expectError(.unavailable, reason: "TLS") {
            _ = try await SocketTransport(logger: .quiet).dial(
                listener.address, timeout: .seconds(60))
        }
        await expectError(.invalidArgument, reason: "INVALID") {
            _ = try await transport.listen("memory://a")
        }
        await expectError(.invalidArgument, reason: "INVALID") {
            _ = try await SocketTransport().listen("tls://127.0.0.1:0")
        }
    }

    /// A server of RPC with the same certificates is another thing, and says so by ALPN.
    @Test func protocolsAreKeptApart() async throws {
        let options = try TestCertificates.shared.get().options
        let server = Server(
            name: "a",
            options: ServerOptions(addresses: ["127.0.0.1:0"], tls: options.serverTLS),
            logger: .quiet)
        try await server.start()
        let address = try #require(server.addresses.first)
        let error = await expectError(.unavailable, reason: "TLS") {
            _ = try await SocketTransport(options: options, logger: .quiet).dial(address)
        }
        #expect(error?.detail.contains("ALPN") == true, "\(String(describing: error))")
        try await server.drain(grace: .zero)
    }
}

/// A listener that never accepts.
private final class SilentListener: Sendable {
    private let descriptor: Int32
    let port: UInt16

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let failed = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) != 0 || listen(descriptor, 5) != 0
                    || getsockname(descriptor, $0, &size) != 0
            }
        }
        try #require(!failed)
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }
}

/// A client that speaks bytes.
private final class RawPeer: Sendable {
    private let descriptor: Int32

    init(_ address: String) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var to = sockaddr_in()
        to.sin_family = sa_family_t(AF_INET)
        to.sin_addr.s_addr = inet_addr("127.0.0.1")
        to.sin_port = (address.split(separator: ":").last.flatMap { UInt16($0) } ?? 0).bigEndian
        let descriptor = descriptor
        let result = withUnsafePointer(to: &to) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(result == 0)
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) throws {
        try #require(
            write(descriptor, bytes, bytes.count) == bytes.count)
    }

    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// What comes until the other side closes.
    func readAll() -> [UInt8] {
        var all: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &piece, piece.count)
            guard count > 0 else { return all }
            all += piece[..<count]
        }
    }
}
