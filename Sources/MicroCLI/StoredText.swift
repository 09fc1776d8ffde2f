internal import Micro

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// How the bytes of a record are shown, and what they are.
enum StoredText {
    /// Whether a terminal can show it as it is.
    static func isText(_ bytes: [UInt8]) -> Bool {
        guard let text = String(validating: bytes, as: UTF8.self) else { return false }
        return text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || (0x09...0x0D).contains($0) }
    }

    static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    static func contentType(of bytes: [UInt8]) -> String {
        if json(bytes) != nil { return "application/json" }
        return isText(bytes) ? "text/plain" : "application/octet-stream"
    }

    static func json(_ bytes: [UInt8]) -> JSONValue? {
        try? JSONCodec().decode(JSONValue.self, from: bytes.span.bytes)
    }
}

/// A record as JSON shows it: the value as JSON, else as a text, else in base64.
struct RecordLine: Encodable {
    let key: String
    let version: UInt64
    let contentType: String
    let metadata: [String: [String]]
    /// Seconds.
    let timeToLive: Double?
    let encoding: String
    let value: JSONValue

    init(_ record: StoreRecord) {
        key = record.key
        version = record.version
        contentType = record.contentType
        metadata = Call.texts(record.metadata)
        timeToLive = record.timeToLive.map { $0 / .seconds(1) }
        if let tree = StoredText.json(record.value) {
            (encoding, value) = ("json", tree)
        } else if StoredText.isText(record.value) {
            (encoding, value) = ("text", .string(String(decoding: record.value, as: UTF8.self)))
        } else {
            (encoding, value) = ("base64", .string(StoredText.base64(record.value)))
        }
    }
}
