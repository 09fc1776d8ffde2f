/// From how far an address can be reached.
enum AddressReach: Sendable, Hashable {
    /// From processes of the same machine: 127.0.0.1, a path.
    case machine
    /// From the local network: private addresses, and names, which may be anything.
    case network
    /// From everywhere.
    case world

    /// - Parameter address: "tcp://10.0.0.7:4711", "unix:///run/x".
    init(of address: String) {
        guard let place = AddressReach.place(of: address) else {
            self = address.hasPrefix("unix://") ? .machine : .network
            return
        }
        self.init(ofHost: place.host)
    }

    /// - Parameter host: An IP address, or a name.
    init(ofHost host: String) {
        if host.contains(":") {
            self = AddressReach.ofVersion6(host)
        } else if host == "localhost" || host.hasPrefix("127.") {
            self = .machine
        } else if !AddressReach.isVersion4(host) || HostAddress.isPrivate(host)
            || host.hasPrefix("169.254.")
        {
            self = .network
        } else {
            self = .world
        }
    }

    /// What "scheme://host:port" says, the host without brackets; nil when it has another form.
    static func place(of address: String) -> (host: String, port: UInt16)? {
        guard let split = address.firstRange(of: "://"),
            let colon = address.lastIndex(of: ":"), colon >= split.upperBound,
            let port = UInt16(address[address.index(after: colon)...])
        else { return nil }
        let host = address[split.upperBound..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            return (String(host.dropFirst().dropLast()), port)
        }
        return host.isEmpty || host.contains("/") ? nil : (String(host), port)
    }

    static func isIP(_ host: String) -> Bool { host.contains(":") || isVersion4(host) }

    private static func isVersion4(_ host: String) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }

    /// ::1, and of the rest unique local (RFC 4193) and link-local ones by their first 16 bits.
    private static func ofVersion6(_ host: String) -> AddressReach {
        if host == "::1" { return .machine }
        let first = UInt16(host.prefix { $0 != ":" }, radix: 16) ?? 0
        return first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 ? .network : .world
    }
}
