internal import Synchronization

/// The limits of a server's calls, and what they are of. While it runs each has a limiter.
struct ServerLimiters: Sendable {
    private(set) var ofAll: CallLimits
    private(set) var ofEndpoints: [String: CallLimits]
    private var limiterOfAll: CoreLimiter?
    private var limiters: [String: CoreLimiter] = [:]

    init(_ options: ServerOptions) {
        ofAll = options.callLimits
        ofEndpoints = options.endpointLimits
    }

    /// A limiter is made for every endpoint: one without limits costs next to nothing, and can get
    /// some later.
    mutating func makeLimiterOfAll() throws(MicroError) -> CoreLimiter {
        let made = try CoreLimiter(ofAll.settings)
        limiterOfAll = made
        return made
    }

    mutating func makeLimiter(of endpoint: String) throws(MicroError) -> CoreLimiter {
        if let known = limiters[endpoint] { return known }
        let made = try CoreLimiter((ofEndpoints[endpoint] ?? CallLimits()).settings)
        limiters[endpoint] = made
        return made
    }

    mutating func set(_ limits: CallLimits, of endpoint: String?) throws(MicroError) {
        if let endpoint {
            try limiters[endpoint]?.configure(limits.settings)
            ofEndpoints[endpoint] = limits
        } else {
            try limiterOfAll?.configure(limits.settings)
            ofAll = limits
        }
    }
}

extension Server {
    /// The limits of an endpoint; with nil, those of all endpoints together.
    public func limits(of endpoint: String? = nil) -> CallLimits {
        state.withLock { state in
            guard let endpoint else { return state.limiters.ofAll }
            return state.limiters.ofEndpoints[endpoint] ?? CallLimits()
        }
    }

    /// Sets other limits, also while the server runs: for calls that come from now on.
    ///
    /// - Parameter endpoint: Its name, as it was recorded; nil: all endpoints together, but for
    ///   health and reflection.
    /// - Throws: ``MicroError``: invalidArgument for limits that can't be, notFound for an endpoint
    ///   that is not served. Nothing is changed then.
    public func setLimits(_ limits: CallLimits, of endpoint: String? = nil) throws {
        if let problem = limits.problems.first {
            throw MicroError.invalid("server.limits", problem)
        }
        try state.withLock { state in
            if let endpoint, !state.endpoints.contains(where: { $0.name == endpoint }) {
                throw MicroError.notFound("server.limits", "\"\(endpoint)\" is not served here")
            }
            try state.limiters.set(limits, of: endpoint)
        }
    }

    /// What is wrong with the limits that were recorded.
    func limitProblems(_ endpoints: [ServedEndpoint]) -> [String] {
        let limiters = state.withLock { $0.limiters }
        let served = Set(endpoints.map(\.name))
        var problems = limiters.ofAll.problems.map { "options.callLimits: \($0)" }
        for (name, limits) in limiters.ofEndpoints.sorted(by: { $0.key < $1.key }) {
            if !served.contains(name) {
                problems.append("options.endpointLimits: \"\(name)\" is not served")
            }
            problems += limits.problems.map { "options.endpointLimits of \"\(name)\": \($0)" }
        }
        return problems
    }
}
