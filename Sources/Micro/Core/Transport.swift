internal import CMicroCore

/// An address of a node: "tcp://127.0.0.1:4711", "tls://db.example:4711", "unix:///run/x.sock",
/// "memory://name". Without a scheme it is tcp.
struct TransportAddress: Sendable, Hashable, CustomStringConvertible {
    let scheme: String
    let rest: String

    init(_ text: String) {
        if let split = text.firstRange(of: "://") {
            scheme = String(text[..<split.lowerBound])
            rest = String(text[split.upperBound...])
        } else {
            scheme = "tcp"
            rest = text
        }
    }

    init(scheme: String, rest: String) {
        self.scheme = scheme
        self.rest = rest
    }

    var description: String { "\(scheme)://\(rest)" }

    /// Whether it is one that TLS can lie over.
    var isTCP: Bool { scheme == "tcp" }

    /// What is wrong with the scheme; nil: it is known.
    var problem: String? {
        ["tcp", "tls", "unix", "memory"].contains(scheme)
            ? nil : "\(self): unknown scheme \"\(scheme)\", known: tcp, tls, unix, memory"
    }

    /// The table of the transport that serves the scheme.
    ///
    /// - Parameter tls: For "tls" addresses.
    func transport(tls: TLSContext? = nil) throws(MicroError) -> UnsafePointer<
        mcore_transport_plugin
    > {
        let table: UnsafePointer<mcore_transport_plugin>? =
            switch scheme {
            case "tcp": mcore_transport_tcp()
            case "tls": try tls?.transport()
            case "unix": mcore_transport_unix()
            case "memory": mcore_transport_memory()
            default: nil
            }
        guard let table else {
            throw MicroError.invalid(
                "transport", problem ?? "\(self): there are no certificates for TLS", at: "address")
        }
        return table
    }
}
