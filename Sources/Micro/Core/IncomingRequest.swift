internal import CMicroCore

/// A request while its handler runs. Its bytes are borrowed from the core, so it can't be kept.
struct IncomingRequest: ~Copyable {
    let raw: UnsafePointer<mcore_request>
    let call: OpaquePointer

    fileprivate init(_ raw: UnsafePointer<mcore_request>, _ call: OpaquePointer) {
        self.raw = raw
        self.call = call
    }

    /// Whether errors travel as grpc-status; otherwise as an HTTP status with a problem+json body.
    var isGRPC: Bool { raw.pointee.protocol == UInt32(MCORE_PROTOCOL_GRPC) }

    var path: String { String(raw.pointee.path) }
    var contentType: String { String(raw.pointee.content_type) }
    var accept: String { String(raw.pointee.accept) }
    /// Whether the message was compressed on its way.
    var wasCompressed: Bool { raw.pointee.body_flags & UInt32(MCORE_MESSAGE_COMPRESSED) != 0 }

    /// On the loop's clock; nil without one.
    var deadline: EventLoopClock.Instant? {
        raw.pointee.deadline_ns == 0
            ? nil : EventLoopClock.Instant(nanoseconds: raw.pointee.deadline_ns)
    }

    /// Where the content type stands in `table`: compared as bytes, so that the common ones need no
    /// parsing. nil: it is not in it as it was sent.
    func contentTypeIndex(in table: [[UInt8]]) -> Int? {
        let sent = raw.pointee.content_type
        guard let data = sent.data else { return table.firstIndex { $0.isEmpty } }
        let bytes = UnsafeRawBufferPointer(start: data, count: sent.len)
        for index in table.indices where table[index].count == bytes.count {
            if table[index].withUnsafeBytes({ $0.isEqual(to: bytes) }) { return index }
        }
        return nil
    }

    var hasAccept: Bool { raw.pointee.accept.len > 0 }

    /// The message, valid until the handler returns.
    var body: LentBytes { LentBytes(raw.pointee.body) }

    /// Calls `body` with the request behind a pointer of the core.
    static func with(
        _ raw: UnsafePointer<mcore_request>, of call: OpaquePointer,
        _ body: (borrowing IncomingRequest) -> Void
    ) {
        body(IncomingRequest(raw, call))
    }
}

extension UnsafeRawBufferPointer {
    /// Whether another one of the same length holds the same bytes; eight at a time.
    fileprivate func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        while count - offset >= 8 {
            let bytes = loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            guard bytes == other.loadUnaligned(fromByteOffset: offset, as: UInt64.self) else {
                return false
            }
            offset += 8
        }
        while offset < count {
            guard self[offset] == other[offset] else { return false }
            offset += 1
        }
        return true
    }
}

extension Metadata {
    /// Copies header entries of the core. Values of "-bin" names are bytes.
    init(_ headers: UnsafePointer<mcore_header>?, count: Int) {
        self.init()
        guard let headers, count > 0 else { return }
        for header in UnsafeBufferPointer(start: headers, count: count) {
            let name = String(header.name)
            if name.hasSuffix("-bin") {
                append(name, bytes: [UInt8](header.value))
            } else {
                append(name, String(header.value))
            }
        }
    }

    /// Lends the entries in the core's form.
    func withHeaders<T>(_ body: (UnsafePointer<mcore_header>?, Int) throws -> T) rethrows -> T {
        guard !isEmpty else { return try body(nil, 0) }
        // One arena for all bytes; the headers point into it.
        var arena: [UInt8] = []
        var lengths: [(name: Int, value: Int)] = []
        for entry in self {
            let start = arena.count
            arena.append(contentsOf: entry.name.utf8)
            let nameEnd = arena.count
            switch entry.value {
            case .text(let text): arena.append(contentsOf: text.utf8)
            case .bytes(let bytes): arena.append(contentsOf: bytes)
            }
            lengths.append((nameEnd - start, arena.count - nameEnd))
        }
        return try arena.withUnsafeBytes { arena in
            var offset = 0
            var headers: [mcore_header] = []
            headers.reserveCapacity(lengths.count)
            for length in lengths {
                let name = mcore_slice(
                    data: arena.baseAddress.map { $0 + offset }, len: length.name)
                offset += length.name
                let value = mcore_slice(
                    data: arena.baseAddress.map { $0 + offset }, len: length.value)
                offset += length.value
                headers.append(mcore_header(name: name, value: value))
            }
            return try headers.withUnsafeBufferPointer { try body($0.baseAddress, $0.count) }
        }
    }
}
