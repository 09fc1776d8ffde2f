public import Micro

/// How a protobuf message is written.
public struct ProtobufForm: MessageForm, Hashable {
    /// Its short name, "proto": the suffix of `application/grpc+proto`.
    public let name: String
    /// Its content type, `application/protobuf`.
    public let contentType: ContentType
    /// Whether many can follow each other as the body of a plain HTTP answer: JSON can, on a line
    /// each; the binary form does not say where a message ends.
    public var isStreamable: Bool { isJSON }
    @usableFromInline let isJSON: Bool

    /// The binary form: `application/protobuf`, also `application/x-protobuf` when it is read.
    public static let proto = ProtobufForm(
        name: "proto", contentType: .protobuf, isJSON: false)

    /// Protobuf's JSON mapping: `application/json`.
    public static let json = ProtobufForm(
        name: "json", contentType: .json, isJSON: true)

    /// Both, the preferred first.
    static let all = [proto, json]

    /// The form that a content type means; nil when it is none of these.
    static func meant(by contentType: String) -> ProtobufForm? {
        // What nearly every call says.
        if contentType.isEmpty || contentType == "application/grpc+proto" { return proto }
        if let form = all.meant(by: contentType) { return form }
        return ContentType(contentType)?.essence == "application/x-protobuf" ? proto : nil
    }
}
