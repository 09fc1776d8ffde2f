extension Metadata {
    /// How much metadata one message may carry.
    public struct Limits: Sendable, Hashable {
        /// The most entries. Default 128.
        public var entries: Int
        /// The most bytes, counted as ``Metadata/byteCount`` does. Default 8192.
        public var bytes: Int

        /// Makes limits.
        public init(entries: Int = 128, bytes: Int = 8192) {
            self.entries = entries
            self.bytes = bytes
        }
    }

    /// The size in bytes as HTTP/2 counts it: names, values as they are on the wire (bytes as
    /// base64) and 32 for each entry.
    public var byteCount: Int {
        entries.reduce(0) { $0 + $1.byteCount }
    }

    /// Whether `name` can be the name of an entry: 1 to 255 of a-z, 0-9, "-", "_" and ".", which is
    /// what every gRPC and HTTP implementation takes. Upper case is turned to lower case before.
    public static func isValidName(_ name: String) -> Bool {
        let bytes = name.utf8
        return !bytes.isEmpty && bytes.count <= 255 && bytes.allSatisfy(isNameByte)
    }

    /// Whether the protocol writes `name` itself, so that nobody else may: "content-length",
    /// "grpc-timeout", "connection", …
    public static func isReserved(_ name: String) -> Bool { reserved.contains(name.lowercased()) }

    /// Refuses what may not be sent: invalid or reserved names, texts with control characters or
    /// outer spaces, text under a "-bin" name or bytes under another, and too much of it.
    ///
    /// - Parameter limits: How much may be sent.
    /// - Throws: ``MicroError`` with `invalidArgument` that names the entry, not its value;
    ///   `resourceExhausted` beyond the limits.
    public func validate(limits: Limits = Limits()) throws(MicroError) {
        guard !entries.isEmpty else { return }
        guard entries.count <= limits.entries else {
            throw .resourceExhausted(
                "metadata",
                "\(entries.count) entries, but only \(limits.entries) may be sent: send fewer")
        }
        var size = 0
        for entry in entries {
            if let fault = entry.fault {
                let name = entry.name.shortened(to: 64)
                throw .invalid("metadata", "the entry \"\(name)\" \(fault)", at: name)
            }
            size += entry.byteCount
        }
        guard size <= limits.bytes else {
            throw .resourceExhausted(
                "metadata", "\(size) bytes, but only \(limits.bytes) may be sent: send less")
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
        default: false
        }
    }

    fileprivate static let reserved: Set<String> = [
        "connection", "content-length", "content-type", "grpc-accept-encoding", "grpc-encoding",
        "grpc-message", "grpc-message-type", "grpc-status", "grpc-timeout", "host", "keep-alive",
        "proxy-connection", "te", "transfer-encoding", "upgrade",
    ]
}

extension Metadata.Entry {
    fileprivate var byteCount: Int {
        switch value {
        case .text(let text): name.utf8.count + text.utf8.count + 32
        case .bytes(let bytes): name.utf8.count + (bytes.count / 3 + 1) * 4 + 32
        }
    }

    /// Why it may not be sent.
    fileprivate var fault: String? {
        guard Metadata.isValidName(name) else {
            return "has an invalid name: use 1 to 255 of a-z, 0-9, \"-\", \"_\" and \".\""
        }
        guard !Metadata.reserved.contains(name) else {
            return "is reserved for the protocol: rename it"
        }
        switch value {
        case .bytes:
            return name.hasSuffix("-bin") ? nil : "holds bytes, so its name must end in \"-bin\""
        case .text(let text):
            guard !name.hasSuffix("-bin") else {
                return "holds text, but \"-bin\" names hold bytes: set it with [binary:]"
            }
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
                return "has a control character in its value: use a \"-bin\" name for such values"
            }
            guard let first = text.utf8.first, let last = text.utf8.last else { return nil }
            return first.isBlank || last.isBlank
                ? "has a value that starts or ends with a space: it would not arrive so" : nil
        }
    }
}

extension UInt8 {
    fileprivate var isBlank: Bool { self == 0x20 || self == 0x09 }
}
