internal import CMicroCore

/// What to certify, as the core takes it.
struct CertificatePlan: Sendable {
    var name: String
    var names: [String] = []
    /// How many authorities may stand below this one; nil: it is none.
    var pathLength: Int?
    var isForServers = false
    var isForClients = false
    var lifetime: Duration = .zero
    /// The certificate and key that sign it; nil: it signs itself.
    var issuer: (certificate: String, key: String)?
    /// A request whose key is certified; nil: a new key is made.
    var request: String?

    /// Makes the certificate. Any thread; it takes a fraction of a millisecond.
    ///
    /// - Returns: PEM; no key for a request.
    func issue() throws(MicroError) -> (text: String, key: String?) {
        try make { mcore_certificate_issue($0, $1, $2, $3) }
    }

    /// Makes a key and a request for it, with the name and the names.
    func requestSigning() throws(MicroError) -> (text: String, key: String?) {
        try make { mcore_certificate_request($0, $1, $2, $3) }
    }

    private typealias Maker = (
        UnsafePointer<mcore_certificate_plan>, UnsafeMutablePointer<mcore_certificate>,
        UnsafeMutablePointer<CChar>?, Int
    ) -> mcore_status

    private func make(_ body: Maker) throws(MicroError) -> (text: String, key: String?) {
        var made = mcore_certificate()
        let (status, detail) = withDetail { detail, size in
            withCore { plan in body(plan, &made, detail, size) }
        }
        guard status >= 0 else {
            let status = CoreStatus(raw: status)
            let code: MicroError.Code =
                status == .noSecureConnection ? .failedPrecondition : status.code
            throw MicroError("certificate", code, detail.isEmpty ? status.text : detail)
        }
        defer { mcore_certificate_free(&made) }
        return (made.text.map { String(cString: $0) } ?? "", made.key.map { String(cString: $0) })
    }

    /// Lends it in the core's form.
    private func withCore<T>(_ body: (UnsafePointer<mcore_certificate_plan>) -> T) -> T {
        let texts = [name, issuer?.certificate ?? "", issuer?.key ?? "", request ?? ""] + names
        return withSlices(texts) { slices in
            return Array(slices.dropFirst(4)).withUnsafeBufferPointer { names in
                var raw = mcore_certificate_plan()
                raw.struct_size = UInt32(MemoryLayout<mcore_certificate_plan>.size)
                raw.is_authority = pathLength == nil ? 0 : 1
                raw.path_length = UInt32(clamping: pathLength ?? 0)
                raw.usages =
                    (isForServers ? UInt32(MCORE_CERTIFICATE_SERVER) : 0)
                    | (isForClients ? UInt32(MCORE_CERTIFICATE_CLIENT) : 0)
                raw.lifetime_s = UInt64(clamping: lifetime.components.seconds)
                raw.common_name = slices[0]
                raw.issuer_certificate = slices[1]
                raw.issuer_key = slices[2]
                raw.request = slices[3]
                raw.names = names.baseAddress
                raw.name_count = UInt32(clamping: names.count)
                return body(&raw)
            }
        }
    }
}

/// Until when the first certificate of a PEM text is valid, in seconds since 1970; nil: there is
/// none.
func certificateExpiry(_ pem: String) -> Int64? {
    var pem = pem
    var seconds: Int64 = 0
    let status = pem.withUTF8 {
        mcore_certificate_expiry(mcore_slice(UnsafeRawBufferPointer($0)), &seconds)
    }
    return status >= 0 ? seconds : nil
}
