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

/// How a message goes on its way: as it is, or compressed with one of the process's codings.
@usableFromInline
struct MessageFlags: Sendable, Hashable {
    let raw: UInt32

    @usableFromInline
    static let plain = MessageFlags(raw: 0)

    private init(raw: UInt32) { self.raw = raw }

    /// nil when there is no coding of this name.
    init?(coding name: String) {
        var name = name
        raw = name.withUTF8 { mcore_coding_flags(mcore_slice(UnsafeRawBufferPointer($0))) }
        if raw == 0 { return nil }
    }
}

/// Lends a message in the core's form.
func withCoreMessage<T>(
    _ bytes: [UInt8], _ flags: MessageFlags, _ body: (UnsafePointer<mcore_message>) -> T
) -> T {
    bytes.withUnsafeBytes {
        var message = mcore_message(bytes: mcore_slice($0), flags: flags.raw, reserved: 0)
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
