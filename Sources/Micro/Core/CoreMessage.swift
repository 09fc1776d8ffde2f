internal import CMicroCore

/// Which sides of a call send many messages.
public enum CallKind: Sendable {
    /// Neither.
    case unary
    /// The caller sends many.
    case collect
    /// The service sends many.
    case stream
    /// Both do.
    case exchange

    var streamsRequests: Bool { self == .collect || self == .exchange }
    var streamsReplies: Bool { self == .stream || self == .exchange }

    var raw: UInt32 {
        switch self {
        case .unary: 0
        case .collect: UInt32(MCORE_STREAM_REQUEST)
        case .stream: UInt32(MCORE_STREAM_REPLY)
        case .exchange: UInt32(MCORE_STREAM_REQUEST | MCORE_STREAM_REPLY)
        }
    }
}

func messageFlags(isCompressed: Bool) -> UInt32 {
    isCompressed ? UInt32(MCORE_MESSAGE_COMPRESSED) : 0
}

/// Lends a message in the core's form.
func withCoreMessage<T>(
    _ bytes: [UInt8], isCompressed: Bool, _ body: (UnsafePointer<mcore_message>) -> T
) -> T {
    bytes.withUnsafeBytes {
        var message = mcore_message(
            bytes: mcore_slice($0), flags: messageFlags(isCompressed: isCompressed), reserved: 0)
        return body(&message)
    }
}

extension mcore_message {
    /// Lends its bytes, and whether they were compressed on their way.
    func withBytes(_ body: (RawSpan, Bool) -> Void) {
        let buffer = UnsafeRawBufferPointer(
            start: bytes.data, count: bytes.data == nil ? 0 : bytes.len)
        body(buffer.bytes, flags & UInt32(MCORE_MESSAGE_COMPRESSED) != 0)
    }
}
