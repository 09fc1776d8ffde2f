import Micro

/// A codec of Micro.
struct MicroCodec<Base: Codec>: ValueCodec {
    private let base: Base

    init(_ base: Base) { self.base = base }

    func message<T: Encodable>(of value: T, json: [UInt8]) throws -> [UInt8] {
        base.contentType == .json ? json : try base.encode(value)
    }

    func decode<T: Decodable>(_ type: T.Type, from message: [UInt8]) throws -> T {
        try base.decode(type, from: message.span.bytes)
    }

    func encode<T: Encodable>(_ value: T) throws -> [UInt8] { try base.encode(value) }

    func isRight<T: Model>(_ message: [UInt8], for value: T) throws -> Bool {
        guard base.contentType == .json else { return true }
        return try FoundationCodec.read(T.self, message) == value
    }

    func count(_ message: [UInt8]) -> Int { message.count }
}
