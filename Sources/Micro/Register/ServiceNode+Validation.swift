extension ServiceNode {
    /// Refuses a node that no register may take, so that all of them take the same.
    ///
    /// Namespace, service and id are 1 to 255 of the characters `A-Z a-z 0-9 . - _`; there is at
    /// least one address, each with a scheme and none that clients cannot reach (0.0.0.0, port 0);
    /// the weight is 1 to 1,000; and all texts together have at most 1 MiB.
    /// - Throws: ``MicroError`` — `invalidArgument`, with the name of the field in its metadata.
    public func validate() throws {
        try RegisterName.check(namespace, "namespace")
        try RegisterName.check(service, "service")
        try RegisterName.check(id, "id")
        try check(version.utf8.count, atMost: 255, "version")
        try check(zone.utf8.count, atMost: 255, "zone")
        guard (1...1000).contains(weight) else {
            throw MicroError.invalid(
                "register", "weight is \(weight): it must be 1 to 1,000", at: "weight")
        }
        guard !addresses.isEmpty else {
            throw MicroError.invalid(
                "register", "node \(id) has no address: clients could not reach it", at: "addresses"
            )
        }
        try check(addresses.count, atMost: 64, "addresses")
        try check(codecs.count, atMost: 64, "codecs")
        try check(metadata.count, atMost: 256, "metadata")
        try check(methods.count, atMost: 4096, "methods")
        for address in addresses { try NodeAddress.check(address) }
        try check(textSize, atMost: 1 << 20, "node")
    }

    private func check(_ count: Int, atMost limit: Int, _ field: String) throws {
        guard count <= limit else {
            throw MicroError.invalid(
                "register", "\(field) of node \(id) has \(count), more than \(limit)", at: field)
        }
    }

    private var textSize: Int {
        func size(_ entries: [String: String]) -> Int {
            entries.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        }
        let lists = (addresses + codecs).reduce(0) { $0 + $1.utf8.count }
        return methods.reduce(lists + size(metadata)) {
            $0 + $1.name.utf8.count + $1.request.utf8.count + $1.reply.utf8.count
                + size($1.metadata)
        }
    }
}

/// Names of services, namespaces and nodes.
package enum RegisterName {
    /// 1 to 255 of the characters `A-Z a-z 0-9 . - _`.
    package static func isValid(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
                    UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    package static func check(_ name: String, _ field: String) throws {
        guard isValid(name) else {
            throw MicroError.invalid(
                "register",
                "\(field) \(excerpt(name)) is not valid: it takes 1 to 255 letters, digits, '.', '-'"
                    + " or '_'", at: field)
        }
    }

    /// A namespace of a question may be the wildcard.
    package static func checkQuery(namespace: String) throws {
        if namespace != RegisterNamespace.wildcard { try check(namespace, "namespace") }
    }

    package static func checkTTL(_ ttl: Duration) throws {
        guard ttl > .zero else {
            throw MicroError.invalid(
                "register", "ttl is \(ttl): it must be more than zero", at: "ttl")
        }
    }

    /// Text as a name: what a name can't have becomes '-', and what is too long is cut.
    static func made(of text: some StringProtocol) -> String {
        String(text.prefix(255).map { isValid(String($0)) ? $0 : "-" })
    }

    /// Foreign text for an error message: quoted, escaped and cut.
    package static func excerpt(_ text: String) -> String {
        let shown = String(text.unicodeScalars.prefix(64))
        return shown.debugDescription + (shown.utf8.count < text.utf8.count ? "…" : "")
    }
}

/// Addresses of nodes: "scheme://rest".
enum NodeAddress {
    static func check(_ address: String) throws {
        guard let reason = fault(of: address) else { return }
        throw MicroError.invalid(
            "register", "address \(RegisterName.excerpt(address)) \(reason)", at: "addresses")
    }

    private static func fault(of address: String) -> String? {
        guard address.utf8.count <= 1024 else { return "has more than 1,024 bytes" }
        guard address.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            return "has a space or a control character"
        }
        guard let separator = address.firstRange(of: "://"),
            isScheme(address[..<separator.lowerBound]), separator.upperBound < address.endIndex
        else { return "has no scheme: write it as \"tcp://127.0.0.1:4711\"" }
        guard ["tcp", "tls"].contains(address[..<separator.lowerBound]) else { return nil }
        return faultOfTCP(address[separator.upperBound...])
    }

    private static func isScheme(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, first >= 0x61, first <= 0x7a else { return false }
        return text.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte)
                || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
                || byte == UInt8(ascii: ".")
        }
    }

    private static func faultOfTCP(_ place: Substring) -> String? {
        guard let colon = place.lastIndex(of: ":") else { return "has no port" }
        let host = place[..<colon]
        guard !host.isEmpty else { return "has no host" }
        guard let port = UInt16(place[place.index(after: colon)...]), port > 0 else {
            return "has no port that can be reached (1 to 65,535)"
        }
        guard !["0.0.0.0", "[::]", "::", "*"].contains(host) else {
            return "is where a server listens, not where a client reaches it: advertise a real host"
        }
        return nil
    }
}
