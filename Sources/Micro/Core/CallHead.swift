internal import CMicroCore

/// What all calls of an endpoint with one kind of message have in common, in the core's form.
final class CallHead: @unchecked Sendable {  // not changed once it is made
    /// For people.
    let path: String
    let contentType: String
    private let bytes: UnsafeMutableRawBufferPointer
    private let pathCount: Int

    /// - Parameters:
    ///   - path: "/greeter/Greeter.Hello".
    ///   - contentType: "application/grpc+json".
    init(path: String, contentType: String) {
        self.path = path
        self.contentType = contentType
        pathCount = path.utf8.count
        bytes = .allocate(byteCount: pathCount + contentType.utf8.count, alignment: 1)
        for (index, byte) in (Array(path.utf8) + Array(contentType.utf8)).enumerated() {
            bytes[index] = byte
        }
    }

    deinit { bytes.deallocate() }

    /// Valid as long as this is.
    func fill(_ plan: inout mcore_call_plan) {
        plan.path = mcore_slice(data: bytes.baseAddress, len: pathCount)
        plan.content_type = mcore_slice(
            data: bytes.baseAddress.map { $0 + pathCount }, len: bytes.count - pathCount)
    }
}
