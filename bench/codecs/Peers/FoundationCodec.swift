#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Foundation's JSON, one decoder and one encoder for all messages.
struct FoundationCodec: ValueCodec {
    private let decoder = JSONDecoder()
    private let encoder = JSONEncoder()

    func message<T: Encodable>(of value: T, json: [UInt8]) throws -> Data { Data(json) }

    /// What others have to read, too.
    static func read<T: Decodable>(_ type: T.Type, _ json: [UInt8]) throws -> T {
        try JSONDecoder().decode(type, from: Data(json))
    }

    func decode<T: Decodable>(_ type: T.Type, from message: Data) throws -> T {
        try decoder.decode(type, from: message)
    }

    func encode<T: Encodable>(_ value: T) throws -> Data { try encoder.encode(value) }

    func count(_ message: Data) -> Int { message.count }
}
