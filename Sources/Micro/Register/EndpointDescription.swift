/// One endpoint of a node, as a register, a gateway or a tool sees it.
public struct EndpointDescription: Sendable, Hashable {
    /// "Greeter.Hello".
    public var name: String
    /// The type of its request; empty when it is not known.
    public var request: String
    /// The type of its reply; empty when it is not known.
    public var reply: String
    /// Whatever else is worth knowing: its schema, its route, whether it streams.
    public var metadata: [String: String]

    /// - Parameters:
    ///   - name: "Greeter.Hello".
    ///   - request: The type of its request.
    ///   - reply: The type of its reply.
    ///   - metadata: Whatever else is worth knowing.
    public init(
        name: String, request: String = "", reply: String = "", metadata: [String: String] = [:]
    ) {
        self.name = name
        self.request = request
        self.reply = reply
        self.metadata = metadata
    }
}
