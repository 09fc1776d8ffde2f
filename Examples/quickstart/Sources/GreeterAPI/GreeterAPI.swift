public import Micro

/// Whom to greet.
public struct HelloRequest: Codable, Sendable {
    /// Must not be empty.
    public var name: String
    /// Greets `name`.
    public init(name: String) { self.name = name }
}

/// The greeting.
public struct HelloReply: Codable, Sendable {
    /// "Hello, Ada".
    public var message: String
    /// Replies with `message`.
    public init(message: String) { self.message = message }
}

/// The service and its callers share this, so that neither can get the types or the name wrong.
extension Endpoint where Request == HelloRequest, Reply == HelloReply {
    /// Answers with a greeting.
    public static var hello: Self { .init("greeter", "Greeter.Hello") }
}
