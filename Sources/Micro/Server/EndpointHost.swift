/// Where endpoints are recorded: a ``Server`` or a ``MicroService``.
public protocol EndpointHost: Sendable {
    /// The name of the service, as it stands in paths and in the register.
    var name: String { get }
    /// How messages may be written, the preferred first.
    var codecs: Codecs { get }
    /// Serves an endpoint from the start on. What is wrong with it is reported by the start: a name
    /// that is not valid or taken, a typed endpoint of another service.
    func serve(_ endpoint: ServedEndpoint)
    /// Describes .proto files to those who ask by gRPC reflection, in any order and as often as one
    /// likes: generated code does it. What is wrong is reported by the start.
    ///
    /// - Parameter files: Each a serialized `google.protobuf.FileDescriptorProto`.
    func describe(_ files: [[UInt8]])
}
