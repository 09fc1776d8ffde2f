import ArgumentParser
import Micro
import SwiftProtobuf

/// Whom there is to measure.
enum CodecName: String, CaseIterable {
    case json
    case messagePack = "msgpack"
    case cbor
    case foundation
    /// `Codable` itself: a decoder that knows the values, and an encoder that forgets them.
    case codable
    /// The values alone: they are made, and nothing is decoded.
    case value
    case protobuf
    case swiftProtobuf = "swift-protobuf"

    static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }

    var version: String {
        switch self {
        case .foundation: "FoundationEssentials of Swift \(Self.swift)"
        case .swiftProtobuf: "swift-protobuf \(SwiftProtobuf.Version.versionString)"
        case .json, .messagePack, .cbor, .codable, .value, .protobuf:
            "micro 0.1.0, Swift \(Self.swift)"
        }
    }

    private static var swift: String {
        #if compiler(>=6.4)
            "6.4 or later"
        #else
            "6.3"
        #endif
    }
}

extension Work {
    init(
        _ operation: Operation, _ document: DocumentName, by codec: CodecName, direct: Bool
    ) throws {
        if direct {
            guard codec == .json else { throw Unfit("direct types are measured with JSON only") }
            self = try document.directWork(operation, MicroCodec(JSONCodec()))
            return
        }
        switch codec {
        case .json where operation == .validate:
            self = try ScannerWork.validating(document.json)
        case .json where operation == .read:
            self = try ScannerWork.reading(document.json)
        case .json: self = try document.work(operation, MicroCodec(JSONCodec()))
        case .messagePack: self = try document.work(operation, MicroCodec(MessagePackCodec()))
        case .cbor: self = try document.work(operation, MicroCodec(CBORCodec()))
        case .foundation: self = try document.work(operation, FoundationCodec())
        case .codable: self = try CodableAlone.work(operation, document)
        case .value: self = try ValueAlone.work(operation, document)
        case .protobuf: self = try ProtobufWork.ours(operation, document)
        case .swiftProtobuf: self = try ProtobufWork.library(operation, document)
        }
    }
}

extension CodecName: ExpressibleByArgument {}
extension Operation: ExpressibleByArgument {}
extension DocumentName: ExpressibleByArgument {}
