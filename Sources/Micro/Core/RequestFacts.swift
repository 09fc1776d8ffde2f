internal import CMicroCore

/// What a request says beside its message. While its handler runs in place it is read from the
/// core's memory; whoever goes on afterwards keeps a copy, which is not looked into before somebody
/// asks.
struct RequestFacts: @unchecked Sendable {  // what is lent is read before it is taken back
    private enum Source {
        case lent(UnsafePointer<mcore_request>, OpaquePointer)
        indirect case copied(CopiedFields, PeerIdentity?)
        indirect case given(peer: String, PeerIdentity?)
    }

    private var source: Source
    private var knownMetadata: Metadata?

    /// Facts that nobody has lent.
    init(metadata: Metadata, peer: String, identity: PeerIdentity?) {
        source = .given(peer: peer, identity)
        knownMetadata = metadata
    }

    /// Facts that are valid until the handler returns, or until ``keep()``.
    init(of request: borrowing IncomingRequest) {
        source = .lent(request.raw, request.call)
    }

    /// Names are lower case.
    var metadata: Metadata {
        mutating get {
            if let knownMetadata { return knownMetadata }
            let metadata: Metadata
            switch source {
            case .lent(let raw, _):
                metadata = Metadata(raw.pointee.metadata, count: raw.pointee.metadata_count)
            case .copied(let fields, _): metadata = fields.metadata
            case .given: metadata = Metadata()
            }
            knownMetadata = metadata
            return metadata
        }
    }

    var peer: String {
        switch source {
        case .lent(let raw, _): String(raw.pointee.peer)
        case .copied(let fields, _): fields.peer
        case .given(let peer, _): peer
        }
    }

    /// nil: the caller has shown no certificate.
    var identity: PeerIdentity? {
        switch source {
        case .lent(_, let call): PeerIdentity(ofCall: call)
        case .copied(_, let identity), .given(_, let identity): identity
        }
    }

    /// Copies what is lent.
    mutating func keep() {
        guard case .lent(let raw, let call) = source else { return }
        source = .copied(CopiedFields(of: raw), PeerIdentity(ofCall: call))
    }
}

/// The peer and the metadata of a request, in one piece: the peer, then names and values in turn,
/// each behind its length.
private struct CopiedFields {
    private let bytes: [UInt8]
    private static let lengthBytes = MemoryLayout<UInt32>.size

    init(of request: UnsafePointer<mcore_request>) {
        let headers = UnsafeBufferPointer(
            start: request.pointee.metadata,
            count: request.pointee.metadata == nil ? 0 : request.pointee.metadata_count)
        var size = CopiedFields.lengthBytes + request.pointee.peer.len
        for header in headers {
            size += 2 * CopiedFields.lengthBytes + header.name.len + header.value.len
        }
        bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            var rest = UnsafeMutableRawBufferPointer(buffer)
            CopiedFields.put(request.pointee.peer, &rest)
            for header in headers {
                CopiedFields.put(header.name, &rest)
                CopiedFields.put(header.value, &rest)
            }
            count = size - rest.count
        }
    }

    private static func put(_ field: mcore_slice, _ rest: inout UnsafeMutableRawBufferPointer) {
        rest.storeBytes(of: UInt32(truncatingIfNeeded: field.len), as: UInt32.self)
        rest = UnsafeMutableRawBufferPointer(rebasing: rest[lengthBytes...])
        guard let data = field.data, field.len > 0 else { return }
        rest.copyMemory(from: UnsafeRawBufferPointer(start: data, count: field.len))
        rest = UnsafeMutableRawBufferPointer(rebasing: rest[field.len...])
    }

    var peer: String { bytes.withUnsafeBytes { String(CopiedFields.take($0, at: 0)) } }

    var metadata: Metadata {
        bytes.withUnsafeBytes { bytes in
            var headers: [mcore_header] = []
            var offset = CopiedFields.lengthBytes + CopiedFields.take(bytes, at: 0).len
            while offset < bytes.count {
                let name = CopiedFields.take(bytes, at: offset)
                offset += CopiedFields.lengthBytes + name.len
                let value = CopiedFields.take(bytes, at: offset)
                offset += CopiedFields.lengthBytes + value.len
                headers.append(mcore_header(name: name, value: value))
            }
            return headers.withUnsafeBufferPointer {
                Metadata($0.baseAddress, count: $0.count)
            }
        }
    }

    private static func take(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> mcore_slice {
        let length = Int(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        let begin = offset + lengthBytes
        return mcore_slice(UnsafeRawBufferPointer(rebasing: bytes[begin..<begin + length]))
    }
}
