internal import CMicroCore

/// One piece of what a TLS context is made of.
enum TLSItem: Sendable, Hashable {
    case none
    case text(String)
    case file(String)
}

/// What can be replaced while connections are served.
struct TLSMaterial: Sendable, Hashable {
    var certificate = TLSItem.none
    var key = TLSItem.none
    var ca = TLSItem.none

    /// The files that it is read from.
    var files: [String] {
        [certificate, key, ca].compactMap { if case .file(let path) = $0 { path } else { nil } }
    }
}

/// What can't be replaced.
struct TLSRules: Sendable {
    enum Role: Sendable { case server, client }

    var role: Role
    var requiresClientCertificates = false
    var allowsPlaintext = false
    var requiresTLS13 = false
    var handshakeTimeout: Duration = .seconds(5)
    /// Of a client: what the server's certificate has to be for; "": the host of the address.
    var serverName = ""
    /// What both sides have to agree on by ALPN; "": what RPC speaks.
    var protocolName = ""
    /// Of a client: it says nothing by ALPN, and the server need not either.
    var isWithoutProtocol = false
}

/// What a context has seen.
struct TLSCounts: Sendable {
    var generation: UInt64 = 0
    var handshakes: UInt64 = 0
    var resumed: UInt64 = 0
    var failures: UInt64 = 0
    var plaintext: UInt64 = 0
}

/// Who we are and whom we trust, for connections on all loops. Any thread.
final class TLSContext: Sendable {
    typealias OnFailure = @Sendable (_ peer: String, _ text: String) -> Void

    private let pointer: CorePointer
    /// What the core has to say about material that it took all the same; "": nothing.
    let warning: String

    /// Reads the files of the material. Blocks: call it inside ``Environment/offload(_:)``.
    ///
    /// - Parameter onFailure: Of a server: a peer was turned away. On the loop of its connection.
    /// - Throws: ``MicroError`` that names the file, or the certificate, and the reason.
    init(
        _ rules: TLSRules, _ material: TLSMaterial, onFailure: OnFailure? = nil
    ) throws(MicroError) {
        var options = mcore_tls_options()
        let role = rules.role == .server ? MCORE_TLS_SERVER : MCORE_TLS_CLIENT
        mcore_tls_options_default(UInt32(role), &options)
        options.client_certificates = rules.requiresClientCertificates ? 1 : 0
        options.allow_plaintext = rules.allowsPlaintext ? 1 : 0
        options.no_protocol = rules.isWithoutProtocol ? 1 : 0
        if rules.requiresTLS13 { options.version_min = UInt32(MCORE_TLS_1_3) }
        options.handshake_timeout_ms = rules.handshakeTimeout.clampedMilliseconds
        if let onFailure {
            options.on_failure = peerFailed
            options.on_released = failureBoxReleased
            options.ctx = Unmanaged.passRetained(FailureBox(onFailure)).toOpaque()
        }
        var created: OpaquePointer?
        var (serverName, protocolName) = (rules.serverName, rules.protocolName)
        let (status, detail) = withDetail { detail, size in
            serverName.withUTF8 { name in
                protocolName.withUTF8 { protocolName in
                    material.withCore { material in
                        options.server_name = mcore_slice(UnsafeRawBufferPointer(name))
                        options.protocol = mcore_slice(UnsafeRawBufferPointer(protocolName))
                        options.material = material
                        return mcore_tls_context_create(&options, &created, detail, size)
                    }
                }
            }
        }
        guard status >= 0, let created else {
            // The core tells nobody who was never there.
            options.ctx.map { Unmanaged<FailureBox>.fromOpaque($0).release() }
            throw TLSContext.failure(status, detail)
        }
        pointer = CorePointer(raw: created)
        warning = detail
    }

    deinit { mcore_tls_context_release(pointer.raw) }

    /// Makes new handshakes use what is in the files now; connections stay. Blocks as `init` does.
    ///
    /// - Returns: As ``warning``.
    /// - Throws: As `init`; then everything is as before.
    func reload() throws(MicroError) -> String {
        let (status, detail) = withDetail {
            mcore_tls_context_reload(self.pointer.raw, nil, $0, $1)
        }
        guard status >= 0 else { throw TLSContext.failure(status, detail) }
        return detail
    }

    /// Another transport behind TLS. Valid as long as the context and `inner`; who uses it holds
    /// them.
    func transport(
        over inner: UnsafePointer<mcore_transport_plugin>
    ) throws(MicroError) -> UnsafePointer<mcore_transport_plugin> {
        guard let table = mcore_tls_transport(pointer.raw, inner) else {
            throw MicroError("tls", .resourceExhausted, "no memory for the transport")
        }
        return table
    }

    var counts: TLSCounts {
        var raw = mcore_tls_stats()
        raw.struct_size = UInt32(MemoryLayout<mcore_tls_stats>.size)
        mcore_tls_context_read_stats(pointer.raw, &raw)
        return TLSCounts(
            generation: raw.generation, handshakes: raw.handshakes, resumed: raw.resumed,
            failures: raw.failures, plaintext: raw.plaintext)
    }

    private static func failure(_ status: mcore_status, _ detail: String) -> MicroError {
        let status = CoreStatus(raw: status)
        let code: MicroError.Code =
            status == .noSecureConnection ? .invalidArgument : status.code
        return MicroError("tls", code, detail.isEmpty ? status.text : detail)
    }
}

extension TLSMaterial {
    /// Lends it in the core's form.
    fileprivate func withCore<T>(_ body: (UnsafePointer<mcore_tls_material>) -> T) -> T {
        // One arena for all bytes; the slices point into it.
        var arena: [UInt8] = []
        let ranges = [certificate, key, ca].map { item in
            let start = arena.count
            switch item {
            case .none: break
            case .text(let text), .file(let text): arena.append(contentsOf: text.utf8)
            }
            return start..<arena.count
        }
        return arena.withUnsafeBytes { arena in
            func slices(_ item: TLSItem, _ range: Range<Int>) -> (mcore_slice, mcore_slice) {
                let slice = mcore_slice(
                    data: arena.baseAddress.map { $0 + range.lowerBound }, len: range.count)
                return switch item {
                case .none: (mcore_slice(), mcore_slice())
                case .text: (slice, mcore_slice())
                case .file: (mcore_slice(), slice)
                }
            }
            var raw = mcore_tls_material()
            raw.struct_size = UInt32(MemoryLayout<mcore_tls_material>.size)
            (raw.certificate, raw.certificate_file) = slices(certificate, ranges[0])
            (raw.key, raw.key_file) = slices(key, ranges[1])
            (raw.ca, raw.ca_file) = slices(ca, ranges[2])
            return body(&raw)
        }
    }
}

/// Lives until the core has forgotten the context.
private final class FailureBox: Sendable {
    let onFailure: TLSContext.OnFailure
    init(_ onFailure: @escaping TLSContext.OnFailure) { self.onFailure = onFailure }
}

private typealias PeerFailed =
    @convention(c) (
        UnsafeMutableRawPointer?, UnsafePointer<CChar>?, UnsafePointer<CChar>?
    ) -> Void

private let peerFailed: PeerFailed = { box, peer, text in
    guard let box, let peer, let text else { return }
    Unmanaged<FailureBox>.fromOpaque(box).takeUnretainedValue()
        .onFailure(String(cString: peer), String(cString: text))
}

private let failureBoxReleased: @convention(c) (UnsafeMutableRawPointer?) -> Void = { box in
    guard let box else { return }
    Unmanaged<FailureBox>.fromOpaque(box).release()
}
