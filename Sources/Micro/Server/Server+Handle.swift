extension Server {
    /// Answers an endpoint with a closure that does not suspend.
    ///
    /// - Parameters:
    ///   - endpoint: "Service.Method", or in full "package.Service/Method". A name that is not
    ///     valid or is taken is reported by `run()`.
    ///   - execution: `.inline` runs it on the event loop, where it must not block.
    ///   - timeout: The deadline of a call that has none, and the longest that a caller gets.
    ///   - handler: Throws to refuse: a ``MicroError`` reaches the caller as it is, any other error
    ///     as INTERNAL, with its text in the log only.
    public func handle<Request: Decodable & Sendable, Reply: Encodable & Sendable>(
        _ endpoint: String, execution: SyncExecution = .inline, timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) throws -> Reply
    ) {
        switch execution {
        case .inline:
            add(.direct(endpoint, timeout: timeout, codecs: codecs, handler))
        case .concurrent:
            add(
                .asynchronous(endpoint, timeout: timeout, codecs: codecs, execution: .concurrent) {
                    try handler($0, $1)
                })
        }
    }

    /// Answers an endpoint with a closure that may suspend.
    ///
    /// It runs as a task, which is cancelled when nobody waits for the answer any more: the caller
    /// cancelled or went away, or the deadline passed. For the parameters see the other `handle`.
    public func handle<Request: Decodable & Sendable, Reply: Encodable & Sendable>(
        _ endpoint: String, execution: AsyncExecution = .loop, timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) async throws -> Reply
    ) {
        add(
            .asynchronous(
                endpoint, timeout: timeout, codecs: codecs, execution: execution, handler))
    }

    /// Answers a typed endpoint with a closure that does not suspend. Its service must be this one.
    public func handle<Request: Decodable & Sendable, Reply: Encodable & Sendable>(
        _ endpoint: Endpoint<Request, Reply>, execution: SyncExecution = .inline,
        timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) throws -> Reply
    ) {
        guard isOwn(endpoint) else { return }
        handle(endpoint.name, execution: execution, timeout: timeout, handler)
    }

    /// Answers a typed endpoint with a closure that may suspend. Its service must be this one.
    public func handle<Request: Decodable & Sendable, Reply: Encodable & Sendable>(
        _ endpoint: Endpoint<Request, Reply>, execution: AsyncExecution = .loop,
        timeout: Duration? = nil,
        _ handler: @escaping @Sendable (Request, Context) async throws -> Reply
    ) {
        guard isOwn(endpoint) else { return }
        handle(endpoint.name, execution: execution, timeout: timeout, handler)
    }

    /// Whether the endpoint is one of this service; if not, `problems()` says so.
    private func isOwn<Request, Reply>(_ endpoint: Endpoint<Request, Reply>) -> Bool {
        guard endpoint.service != name else { return true }
        reject(
            "the endpoint \"\(endpoint.name)\" belongs to the service \"\(endpoint.service)\", "
                + "not to \"\(name)\"")
        return false
    }
}
