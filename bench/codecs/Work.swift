/// What is measured: one operation, as often as it is asked for.
struct Work {
    /// Of the message.
    let bytes: Int
    let run: (_ count: Int) throws -> Void
}

enum Operation: String, CaseIterable {
    case decode, encode
    /// Tells whether it is valid, and nothing else.
    case validate
    /// Reads it to a document, of which no value is made.
    case read
}

/// Who does something else than the others, and so would be compared without reason.
struct Unfit: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A codec of whatever is `Codable`.
protocol ValueCodec {
    associatedtype Message

    /// The message to decode, of a value whose JSON is given.
    func message<T: Encodable>(of value: T, json: [UInt8]) throws -> Message
    func decode<T: Decodable>(_ type: T.Type, from message: Message) throws -> T
    func encode<T: Encodable>(_ value: T) throws -> Message
    func count(_ message: Message) -> Int
    /// Whether others understand it, too.
    func isRight<T: Model>(_ message: Message, for value: T) throws -> Bool
}

extension ValueCodec {
    func isRight<T: Model>(_ message: Message, for value: T) throws -> Bool { true }

    func decoding<T: Model>(_ sample: Sample<T>) throws -> Work {
        let message = try message(of: sample.value, json: sample.json)
        guard try decode(T.self, from: message) == sample.value else {
            throw Unfit("what was decoded is not what had been encoded")
        }
        return Work(bytes: count(message)) { count in
            for _ in 0..<count { take(try decode(T.self, from: message)) }
        }
    }

    func encoding<T: Model>(_ sample: Sample<T>) throws -> Work {
        let value = sample.value
        let message = try encode(value)
        guard try decode(T.self, from: message) == value, try isRight(message, for: value) else {
            throw Unfit("what was encoded can't be decoded to the same")
        }
        return Work(bytes: count(message)) { count in
            for _ in 0..<count { take(try encode(value)) }
        }
    }

    func work<T: Model>(_ operation: Operation, _ sample: Sample<T>) throws -> Work {
        switch operation {
        case .decode: try decoding(sample)
        case .encode: try encoding(sample)
        case .validate, .read: throw Unfit("it decodes and encodes only")
        }
    }
}
