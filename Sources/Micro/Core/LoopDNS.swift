internal import CMicroCore

/// How names are asked for.
struct DNSSettings: Sendable, Hashable {
    /// "10.0.0.53", "[fd00::53]:5353"; empty: those of this machine.
    var servers: [String] = []
    /// How long one question may take, with all its tries.
    var timeout: Duration = .seconds(5)
    /// How many addresses or services of an answer are taken.
    var answersMax = 64
}

/// What a name stands for.
struct DNSReply: Sendable, Hashable {
    struct Address: Sendable, Hashable {
        /// "10.0.0.7", "fd00::7".
        var host: String
        var isIPv6: Bool

        /// "10.0.0.7:80", "[fd00::7]:80".
        func text(port: UInt16) -> String { isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    struct Service: Sendable, Hashable {
        var target: String
        var priority: UInt16
        var weight: UInt16
        var port: UInt16
        var addresses: [Address]
    }

    /// Whether the name exists and has something of that type.
    var isFound: Bool
    var addresses: [Address] = []
    var services: [Service] = []
    var texts: [String] = []
    /// How many more addresses or services there are.
    var cut = 0
    /// Asking earlier gives the same answer.
    var timeToLive: Duration
    /// How long ago it should have been renewed; zero while it is current.
    var age: Duration
}

/// What is asked for.
enum DNSQuestion: Sendable { case addresses, services, texts }

/// The resolver of a loop, as tasks ask it. Without servers of its own it is the one that the
/// connections of that loop use, too, with what that one remembers.
final class LoopDNS: @unchecked Sendable {  // what changes is the loop thread's
    let loop: EventLoop
    private let settings: DNSSettings
    private var raw: CorePointer?
    private var isClosed = false

    init(on loop: EventLoop, _ settings: DNSSettings) {
        self.loop = loop
        self.settings = settings
    }

    private var isShared: Bool { settings.servers.isEmpty && settings.answersMax == 64 }

    deinit {
        guard let raw, !isShared else { return }
        loop.execute { mcore_dns_close(raw.raw, nil, nil) }
    }

    /// Asks for what `name` stands for.
    ///
    /// - Parameter isFresh: Not from memory, unless that is younger than a second.
    /// - Throws: ``MicroError`` — `invalidArgument` for what is no name, `unavailable` when no
    ///   server can tell and nothing is remembered; `CancellationError`.
    func ask(_ question: DNSQuestion, _ name: String, isFresh: Bool) async throws -> DNSReply {
        let query = DNSQuery(self, question, name, isFresh: isFresh)
        return try await LoopWait.value(
            on: loop, leave: { _ in query.cancel() }, begin: { query.begin($0) })
    }

    /// Ends all questions. Afterwards every question throws.
    func close() {
        loop.executeNow {
            self.isClosed = true
            guard let raw = self.raw, !self.isShared else { return }
            self.raw = nil
            mcore_dns_close(raw.raw, nil, nil)
        }
    }

    /// On the loop.
    fileprivate func pointer() throws(MicroError) -> OpaquePointer {
        if isClosed { throw MicroError("dns", .unavailable, "the resolver is closed") }
        if let raw { return raw.raw }
        var made: OpaquePointer?
        try check(make(&made), "dns", "make a resolver")
        guard let made else { throw MicroError("dns", .internal, "the core made no resolver") }
        raw = CorePointer(raw: made)
        return made
    }

    private func make(_ out: inout OpaquePointer?) -> mcore_status {
        if isShared { return mcore_dns_of_loop(loop.raw, nil, &out) }
        var options = mcore_dns_options()
        mcore_dns_options_default(&options)
        options.addresses_max = UInt32(clamping: settings.answersMax)
        guard !settings.servers.isEmpty else { return mcore_dns_create(loop.raw, &options, &out) }
        return settings.servers.joined(separator: " ").withCString { servers in
            options.servers = servers
            return mcore_dns_create(loop.raw, &options, &out)
        }
    }

    fileprivate var timeout: UInt64 { UInt64(max(1, settings.timeout.clampedMilliseconds)) }
}

/// One question. On its loop.
private final class DNSQuery: @unchecked Sendable {  // see above
    private let resolver: LoopDNS
    private let question: DNSQuestion
    private let name: String
    private let isFresh: Bool
    private var raw: OpaquePointer?
    private var wait: LoopWait<DNSReply>?

    init(_ resolver: LoopDNS, _ question: DNSQuestion, _ name: String, isFresh: Bool) {
        self.resolver = resolver
        self.question = question
        self.name = name
        self.isFresh = isFresh
    }

    func begin(_ wait: LoopWait<DNSReply>) {
        do {
            try start()
            self.wait = wait
        } catch {
            wait.resume(throwing: error)
        }
    }

    private func start() throws(MicroError) {
        let dns = try resolver.pointer()
        let retained = Unmanaged.passRetained(self)
        let flags = isFresh ? MCORE_DNS_FRESH : 0
        var name = name
        let status = name.withUTF8 { bytes in
            let slice = mcore_slice(data: bytes.baseAddress, len: bytes.count)
            let ctx = retained.toOpaque()
            let timeout = resolver.timeout
            return switch question {
            case .addresses:
                mcore_dns_addresses(dns, slice, flags, timeout, dnsAnswered, ctx, &raw)
            case .services:
                mcore_dns_services(dns, slice, flags, timeout, dnsAnswered, ctx, &raw)
            case .texts: mcore_dns_texts(dns, slice, flags, timeout, dnsAnswered, ctx, &raw)
            }
        }
        if status < 0 { retained.release() }
        try check(status, "dns", "ask for \(excerpt(self.name))")
    }

    func cancel() {
        wait = nil
        if let raw { mcore_dns_cancel(raw) }
    }

    fileprivate func take(_ answer: mcore_dns_answer) {
        raw = nil
        guard let wait = wait.take() else { return }
        switch answer.status {
        case Int32(MCORE_OK): wait.resume(returning: DNSReply(answer, isFound: true))
        case Int32(MCORE_ENOENT): wait.resume(returning: DNSReply(answer, isFound: false))
        default:
            let status = CoreStatus(raw: answer.status)
            let code = status.code == .resourceExhausted ? status.code : .unavailable
            wait.resume(
                throwing: MicroError(
                    "dns", code,
                    "no answer about \(excerpt(name)): "
                        + String(cString: answer.detail)))
        }
    }
}

private let dnsAnswered: mcore_dns_done = { query, answer in
    guard let query, let answer else { return }
    Unmanaged<DNSQuery>.fromOpaque(query).takeRetainedValue().take(answer.pointee)
}

/// Foreign text for an error message: quoted and cut.
private func excerpt(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(128))).debugDescription
}

extension DNSReply {
    fileprivate init(_ answer: mcore_dns_answer, isFound: Bool) {
        self.init(
            isFound: isFound,
            addresses: DNSReply.addresses(answer.addresses, answer.address_count),
            services: (0..<Int(answer.service_count)).map { Service(answer.services[$0]) },
            texts: (0..<Int(answer.text_count)).map { String(answer.texts[$0]) },
            cut: Int(answer.cut),
            timeToLive: .nanoseconds(Int64(clamping: answer.ttl_ns)),
            age: .nanoseconds(Int64(clamping: answer.age_ns)))
    }

    fileprivate static func addresses(
        _ first: UnsafePointer<mcore_dns_address>?, _ count: UInt32
    ) -> [Address] {
        guard let first else { return [] }
        return (0..<Int(count)).map { index in
            var text = [CChar](repeating: 0, count: Int(MCORE_DNS_ADDRESS_TEXT))
            let length = mcore_dns_address_text(first + index, 0, &text)
            return Address(
                host: String(
                    decoding: text[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self),
                isIPv6: first[index].version == 6)
        }
    }
}

extension DNSReply.Service {
    fileprivate init(_ service: mcore_dns_service) {
        self.init(
            target: String(service.target), priority: service.priority, weight: service.weight,
            port: service.port,
            addresses: DNSReply.addresses(service.addresses, service.address_count))
    }
}
