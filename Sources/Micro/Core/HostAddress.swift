#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// The addresses of this machine.
enum HostAddress {
    /// The IPv4 address that other machines most likely reach this one at: the first private one,
    /// else the first that is not loopback, else 127.0.0.1.
    static var reachable: String {
        let addresses = ipv4.filter { !$0.hasPrefix("127.") }
        return addresses.first(where: isPrivate) ?? addresses.first ?? "127.0.0.1"
    }

    /// RFC 1918 and RFC 6598.
    static func isPrivate(_ address: String) -> Bool {
        let parts = address.split(separator: ".").compactMap { UInt8($0) }
        guard parts.count == 4 else { return false }
        return switch (parts[0], parts[1]) {
        case (10, _), (192, 168): true
        case (172, 16...31), (100, 64...127): true
        default: false
        }
    }

    private static var ipv4: [String] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: [String] = []
        var entry = list
        while let interface = entry {
            entry = interface.pointee.ifa_next
            guard let address = interface.pointee.ifa_addr,
                address.pointee.sa_family == sa_family_t(AF_INET)
            else { continue }
            var text = [CChar](repeating: 0, count: 64)
            let status = getnameinfo(
                address, socklen_t(MemoryLayout<sockaddr_in>.size), &text, socklen_t(text.count),
                nil, 0, NI_NUMERICHOST)
            guard status == 0 else { continue }
            let end = text.firstIndex(of: 0) ?? text.endIndex
            found.append(String(decoding: text[..<end].map(UInt8.init(bitPattern:)), as: UTF8.self))
        }
        return found
    }
}
