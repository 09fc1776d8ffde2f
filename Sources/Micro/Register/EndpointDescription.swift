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

/// An endpoint in JSON. What is empty is left out, and what is missing is empty.
package struct EndpointRecord: Codable, Hashable {
    private var name: String
    private var request: String?
    private var reply: String?
    private var metadata: [String: String]?

    package init(_ endpoint: EndpointDescription) {
        name = endpoint.name
        request = endpoint.request.isEmpty ? nil : endpoint.request
        reply = endpoint.reply.isEmpty ? nil : endpoint.reply
        metadata = endpoint.metadata.isEmpty ? nil : endpoint.metadata
    }

    package var endpoint: EndpointDescription {
        EndpointDescription(
            name: name, request: request ?? "", reply: reply ?? "", metadata: metadata ?? [:])
    }
}
