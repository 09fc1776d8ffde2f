import GRPCCore
import GRPCNIOTransportHTTP2Posix

/// Messages that stay the bytes of the transport: nothing is copied.
struct BytesSerializer: MessageSerializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: GRPCNIOTransportBytes) throws -> Bytes {
        if let bytes = message as? Bytes { return bytes }
        return message.withUnsafeBytes { Bytes($0) }
    }
}

struct BytesDeserializer: MessageDeserializer {
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> GRPCNIOTransportBytes {
        if let bytes = bytes as? GRPCNIOTransportBytes { return bytes }
        return bytes.withUnsafeBytes { GRPCNIOTransportBytes($0) }
    }
}
