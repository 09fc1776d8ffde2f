internal import CMicroCore

/// What a request says beside its message. While its handler runs in place it is read from the
/// core's memory; whoever goes on afterwards keeps a copy.
struct RequestFacts: @unchecked Sendable {  // what is lent is read before it is taken back
    private enum Source {
        case lent(UnsafePointer<mcore_request>, OpaquePointer)
        case kept(peer: String, identity: PeerIdentity?)
    }

    private var source: Source
    private var knownMetadata: Metadata?

    /// Facts that nobody has lent.
    init(metadata: Metadata, peer: String, identity: PeerIdentity?) {
        source = .kept(peer: peer, identity: identity)
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
            guard case .lent(let raw, _) = source else { return Metadata() }
            let metadata = Metadata(raw.pointee.metadata, count: raw.pointee.metadata_count)
            knownMetadata = metadata
            return metadata
        }
    }

    var peer: String {
        switch source {
        case .lent(let raw, _): String(raw.pointee.peer)
        case .kept(let peer, _): peer
        }
    }

    /// nil: the caller has shown no certificate.
    var identity: PeerIdentity? {
        switch source {
        case .lent(_, let call): PeerIdentity(ofCall: call)
        case .kept(_, let identity): identity
        }
    }

    /// Copies what is lent.
    mutating func keep() {
        guard case .lent = source else { return }
        _ = metadata
        source = .kept(peer: peer, identity: identity)
    }
}
