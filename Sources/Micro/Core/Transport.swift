internal import CMicroCore

/// An address of a node: "tcp://127.0.0.1:4711", "unix:///run/x.sock", "memory://name". Without a
/// scheme it is tcp.
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

    var description: String { "\(scheme)://\(rest)" }

    /// The table of the transport that serves the scheme.
    func transport() throws(MicroError) -> UnsafePointer<mcore_transport_plugin> {
        let table: UnsafePointer<mcore_transport_plugin>? =
            switch scheme {
            case "tcp": mcore_transport_tcp()
            case "unix": mcore_transport_unix()
            case "memory": mcore_transport_memory()
            default: nil
            }
        guard let table else {
            throw MicroError.invalid(
                "transport", "\(self): unknown scheme \"\(scheme)\", known: tcp, unix, memory",
                at: "address")
        }
        return table
    }
}
