public import Micro

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

extension EndpointHost {
    /// Describes .proto files to those who ask by gRPC reflection: what generated code calls.
    ///
    /// - Parameter files: Each a serialized `google.protobuf.FileDescriptorProto` in base64. What
    ///   is none is reported by the start.
    public func describe(base64 files: [String]) {
        describe(files.map { file in Data(base64Encoded: file).map { [UInt8]($0) } ?? [] })
    }
}
