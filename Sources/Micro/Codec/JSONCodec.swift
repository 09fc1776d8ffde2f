#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// `Codable` types as JSON: `application/json`.
///
/// Reading is strict: UTF-8 without a byte order mark, no trailing commas, a bounded depth; fields
/// that the type doesn't know are skipped. Writing is deterministic: keys are sorted, slashes are
/// not escaped. `Date` travels as its `Codable` form, seconds since 2001: contracts between
/// services are better off with a number of milliseconds or a string.
public struct JSONCodec: Codec {
    // Neither is changed after init, so that all threads can share them.
    private let encoder: JSONEncoder
    private let decoder: JSONDecoder
    private let maximumDepth: Int

    /// Makes the codec.
    ///
    /// - Parameter maximumDepth: How deep lists and objects may be nested, 1 to 512. Default 64.
    public init(maximumDepth: Int = 64) {
        encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        decoder = JSONDecoder()
        self.maximumDepth = min(max(maximumDepth, 1), 512)
    }

    /// `application/json`.
    public var contentType: ContentType { .json }

    /// "json".
    public var name: String { "json" }

    /// Every type that is `Codable` in at least one direction.
    public func canCarry(_ type: Any.Type) -> Bool {
        type is any Decodable.Type || type is any Encodable.Type
    }

    /// The JSON of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` that names the field, for numbers that are not
    ///   finite and what the type itself refuses.
    public func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
        do {
            return [UInt8](try encoder.encode(value))
        } catch {
            throw MicroError(error, id: "")
        }
    }

    /// The value in `bytes`. ``Empty`` is also read from no bytes at all.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument`: the line and the column of a syntax error,
    ///   or the path of the field that doesn't fit, also in `metadata["field"]`.
    public func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        if bytes.isEmpty {
            if let empty = Empty() as? T { return empty }
            throw MicroError.invalid(
                "", "the message is empty: send the JSON of a \(T.self)")
        }
        let bytes = [UInt8](copying: bytes)
        if let fault = JSONSyntax.firstFault(in: bytes, maximumDepth: maximumDepth) {
            throw MicroError.invalid(
                "",
                "not valid JSON at line \(fault.line), column \(fault.column): \(fault.what)")
        }
        do {
            return try decoder.decode(type, from: Data(bytes))
        } catch let DecodingError.dataCorrupted(context) where context.saysOnlyInvalidJSON {
            // The syntax is right, so it is the one thing that this decoder reports so.
            throw MicroError.invalid(
                "",
                "a number does not fit its field: a fraction or too many digits for a \(T.self)")
        } catch {
            throw MicroError(error, id: "")
        }
    }
}

extension DecodingError.Context {
    fileprivate var saysOnlyInvalidJSON: Bool {
        codingPath.isEmpty && debugDescription == "The given data was not valid JSON."
    }
}
