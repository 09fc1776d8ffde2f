extension EndpointHost {
    /// Answers an endpoint with bytes, without a copy: the handler reads the request where it
    /// arrived, and adds the reply to what is sent.
    ///
    ///     service.handleRaw("Images.Flip") { request, reply, context in
    ///         for index in 0..<request.byteCount { … }
    ///         reply.append(header)
    ///     }
    ///
    /// It runs on the event loop, where it must not block, unless the service has hooks.
    ///
    /// - Parameters:
    ///   - endpoint: "Service.Method", or in full "package.Service/Method".
    ///   - contentType: Of request and reply over plain HTTP. Default `application/octet-stream`.
    ///     By gRPC the messages are `application/grpc` or `application/grpc+bytes`.
    ///   - timeout: The deadline of a call that has none, and the longest that a caller gets.
    ///   - handler: Throws to refuse: a ``MicroError`` reaches the caller as it is, any other error
    ///     as INTERNAL, with its text in the log only.
    public func handleRaw(
        _ endpoint: String, contentType: ContentType = .bytes, timeout: Duration? = nil,
        _ handler:
            @escaping @Sendable (
                _ request: borrowing RawSpan, _ reply: inout MessageWriter, _ context: Context
            ) throws -> Void
    ) {
        let form = FormTraits(RawForm(contentType: contentType))
        let format = MessageFormat(.unary, reading: [form], writing: [form]) { sent in
            guard [form].meant(by: sent) != nil else {
                throw [form].unsupported(sent, carrying: [UInt8].self)
            }
            return 0
        }
        serve(
            .inPlace(
                EndpointName(endpoint), request: [UInt8].self, reply: [UInt8].self,
                timeout: timeout, format
            ) { request, _, _, context, reply in try handler(request, &reply, context) })
    }
}

/// Bytes that say what they are, and are not looked at.
private struct RawForm: MessageForm {
    var name: String { "bytes" }
    let contentType: ContentType
}
