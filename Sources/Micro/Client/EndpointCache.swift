/// What a loop knows of an endpoint: made with the first call of it. On the loop.
final class PreparedEndpoint: @unchecked Sendable {  // touched on its loop only
    let service: String
    let endpoint: String
    /// The balancer of calls that ask for no version and no address, when no rule concerns them.
    var known: KnownTarget?
    /// Of the state of the service for which ``rules(_:)`` answered last; 0: it is not followed.
    var stamp: UInt64 { routing?.stamp ?? 0 }
    /// What its calls do.
    let terms: EndpointTerms
    /// Their breaker, limits and hedges, when they have any.
    let group: CallGroup?
    private var routing: Routing?
    private let path: String
    private var heads: [CallHead] = []

    init(_ service: String, _ endpoint: String, _ terms: EndpointTerms, _ group: CallGroup?) {
        self.service = service
        self.endpoint = endpoint
        self.terms = terms
        self.group = group
        path = EndpointPaths(service: service, endpoint: endpoint).canonical
    }

    /// What the calls with messages of this type begin with.
    func head(for contentType: String) -> CallHead {
        for head in heads where head.contentType == contentType { return head }
        let head = CallHead(path: path, contentType: contentType)
        // There are a few codecs; content types may be made up.
        if heads.count >= PreparedEndpoint.headsMax { heads = [] }
        heads.append(head)
        return head
    }

    private static let headsMax = 8

    // MARK: Rules

    private struct Routing {
        let service: FollowedService
        let stamp: UInt64
        let rules: RouteRules?
    }

    /// The rules for calls of the endpoint; nil when there are none, or the service is not followed
    /// yet.
    func rules(_ directory: NodeDirectory) -> RouteRules? {
        if let routing, routing.service.stamp == routing.stamp { return routing.rules }
        guard let followed = directory.followed(service) else {
            routing = nil
            return nil
        }
        let (rules, stamp) = followed.rules(for: endpoint)
        routing = Routing(service: followed, stamp: stamp, rules: rules)
        return rules
    }
}

/// The endpoints that were called lately, for one look and two comparisons: each has one place, and
/// who comes to a place that is taken takes it. On the loop.
final class EndpointCache {
    private var places = [PreparedEndpoint?](repeating: nil, count: EndpointCache.count)
    private static let count = 256

    /// - Parameter prepare: Makes what is not there.
    func endpoint<Failure: Error>(
        _ service: String, _ endpoint: String,
        _ prepare: () throws(Failure) -> PreparedEndpoint
    ) throws(Failure) -> PreparedEndpoint {
        let place = EndpointCache.place(of: service, endpoint)
        if let known = places[place], known.endpoint == endpoint, known.service == service {
            return known
        }
        let prepared = try prepare()
        places[place] = prepared
        return prepared
    }

    func removeAll() { places = [PreparedEndpoint?](repeating: nil, count: EndpointCache.count) }

    /// From a few bytes: names differ at their ends.
    private static func place(of service: String, _ endpoint: String) -> Int {
        var mixed = UInt64(truncatingIfNeeded: service.utf8.count)
        mixed = mixed << 8 ^ UInt64(service.utf8.last ?? 0)
        for byte in endpoint.utf8.suffix(6) { mixed = mixed << 8 ^ UInt64(byte) }
        mixed ^= UInt64(truncatingIfNeeded: endpoint.utf8.count) << 20
        return Int(truncatingIfNeeded: (mixed &* 0x9E37_79B9_7F4A_7C15) >> 56)
    }
}
