public import Micro

public struct HelloRequest: Codable, Sendable {
    public var name: String
    public init(name: String) { self.name = name }
}

public struct HelloReply: Codable, Sendable {
    public var message: String
    public init(message: String) { self.message = message }
}

extension Endpoint where Request == HelloRequest, Reply == HelloReply {
    public static var hello: Self { .init("greeter", "Greeter.Hello") }
}
