/// An endpoint of a service with the types of its messages, shared by the service and its callers.
///
/// ```swift
/// extension Endpoint where Request == HelloRequest, Reply == HelloReply {
///     static var hello: Self { .init("greeter", "Greeter.Hello") }
/// }
/// ```
public struct Endpoint<Request: Sendable, Reply: Sendable>: Sendable, Hashable {
    /// The service as it stands in the register: "greeter".
    public let service: String
    /// "Service.Method", or in full "package.Service/Method".
    public let name: String

    /// - Parameters:
    ///   - service: The service as it stands in the register.
    ///   - name: "Service.Method", or in full "package.Service/Method".
    public init(_ service: String, _ name: String) {
        self.service = service
        self.name = name
    }
}

/// The paths under which an endpoint is reached.
///
/// An endpoint "Greeter.Hello" of the service "greeter" answers at `/greeter/Greeter.Hello` (what
/// Micro's client calls), `/greeter.Greeter/Hello` and `/Greeter/Hello` (what a gRPC client made
/// from a .proto calls, with the package "greeter" or with none). A full name
/// "package.Service/Method" answers at `/package.Service/Method`, and below the service's name.
struct EndpointPaths {
    let canonical: String
    let others: [String]

    init(service: String, endpoint: String) {
        if endpoint.contains("/") {
            canonical = "/\(endpoint)"
            others = ["/\(service)/\(endpoint)"]
            return
        }
        canonical = "/\(service)/\(endpoint)"
        if let dot = endpoint.lastIndex(of: ".") {
            let group = endpoint[..<dot]
            let method = endpoint[endpoint.index(after: dot)...]
            others = ["/\(service).\(group)/\(method)", "/\(group)/\(method)"]
        } else {
            others = []
        }
    }

    var all: [String] { [canonical] + others }

    /// The services whose methods these are, to those who call "/Service/Method".
    var services: [String] {
        all.compactMap { path in
            let parts = path.split(separator: "/")
            return parts.count == 2 ? String(parts[0]) : nil
        }
    }

    /// The one of them by which a gRPC client knows it best: with its package.
    var grpcService: String {
        let preferred = others.first ?? canonical
        let name = preferred.split(separator: "/").count == 2 ? preferred : canonical
        return String(name.split(separator: "/")[0])
    }

    /// What is wrong with a name, or nil: names are letters, digits, "_" and "-" in parts that are
    /// separated by "." (and one "/" in a full endpoint name).
    static func problem(withEndpoint name: String) -> String? {
        let halves = name.split(separator: "/", omittingEmptySubsequences: false)
        guard name.utf8.count <= 255 else { return "is longer than 255 bytes" }
        guard (1...2).contains(halves.count) else { return "has more than one \"/\"" }
        for part in halves.flatMap({ $0.split(separator: ".", omittingEmptySubsequences: false) }) {
            guard !part.isEmpty else { return "has an empty part" }
            guard part.utf8.allSatisfy(isNameByte) else {
                return "may hold letters, digits, \"_\" and \"-\", in parts separated by \".\""
            }
        }
        return nil
    }

    /// The same for the name of a service.
    static func problem(withService name: String) -> String? {
        name.contains("/") ? "may not hold \"/\"" : problem(withEndpoint: name)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
