/// A message without content: for endpoints that take or answer nothing.
///
/// Written as `{}`; read from an empty body or an object, whatever its fields.
public struct Empty: Codable, Sendable, Hashable {
    /// Makes the empty message.
    public init() {}

    /// Accepts any object.
    public init(from decoder: any Decoder) throws {
        _ = try decoder.container(keyedBy: NoKeys.self)
    }

    /// Writes `{}`.
    public func encode(to encoder: any Encoder) throws {
        _ = encoder.container(keyedBy: NoKeys.self)
    }

    private enum NoKeys: CodingKey {}
}

extension Empty {
    /// What a message of no bytes is: this, and no other type.
    ///
    /// - Parameter format: For people: "JSON".
    static func decode<T>(_ type: T.Type, as format: String) throws(MicroError) -> T {
        if let empty = Empty() as? T { return empty }
        throw .invalid("", "the message is empty: send the \(format) of a \(type)")
    }
}
