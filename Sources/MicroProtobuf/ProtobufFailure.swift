internal import Micro
internal import SwiftProtobuf

/// What the protobuf library reports, in words and with a code.
enum ProtobufFailure: Error {
    /// Text that is not JSON at all, and where.
    case syntax(line: Int, column: Int, String)

    static func unreadable(
        _ error: any Error, _ type: any SwiftProtobuf.Message.Type, _ form: ProtobufForm
    ) -> MicroError {
        .invalid("", "not a \(type.protoMessageName) in \(form.name): \(text(of: error))")
    }

    static func unwritable(
        _ error: any Error, _ type: any SwiftProtobuf.Message.Type, _ form: ProtobufForm
    ) -> MicroError {
        .internalError(
            "", "the \(type.protoMessageName) can't be written in \(form.name): \(text(of: error))")
    }

    private static func text(of error: any Error) -> String {
        switch error {
        case ProtobufFailure.syntax(let line, let column, let what):
            "not valid JSON at line \(line), column \(column): \(what)"
        case let error as BinaryDecodingError: error.text
        case let error as BinaryEncodingError: error.text
        case let error as JSONDecodingError: error.text
        case let error as JSONEncodingError: error.text
        default: "\(error)"
        }
    }
}

extension BinaryDecodingError {
    fileprivate var text: String {
        switch self {
        case .trailingGarbage: "bytes follow behind its end"
        case .truncated: "it ends in the middle of a field"
        case .invalidUTF8: "a string is not UTF-8"
        case .malformedProtobuf: "a field has an invalid number, type or length"
        case .missingRequiredFields: "a required field is missing"
        case .messageDepthLimit: "its messages are nested too deep"
        case .internalExtensionError: "an extension can't be read"
        }
    }
}

extension BinaryEncodingError {
    fileprivate var text: String {
        switch self {
        case .anyTranscodeFailure: "an Any holds a type that is not registered"
        case .missingRequiredFields: "a required field is missing, or it exceeds 2 GiB"
        }
    }
}

extension JSONDecodingError {
    fileprivate var text: String {
        switch self {
        case .failure: "a value can't be read"
        case .malformedNumber: "a number is malformed, or not whole"
        case .numberRange: "a number is out of the range of its field, or not whole"
        case .malformedMap: "a map is malformed"
        case .malformedBool: "a bool is neither true nor false"
        case .malformedString: "a string is malformed, or another value stands in its place"
        case .invalidUTF8: "a string is not UTF-8"
        case .missingFieldNames: "the names of its fields were not compiled in"
        case .schemaMismatch: "a value does not fit the type of its field"
        case .unrecognizedEnumValue: "an enum has no such value"
        case .illegalNull: "null stands where a value has to be"
        case .unquotedMapKey: "the key of a map is not quoted"
        case .leadingZero: "a number begins with a zero"
        case .truncated: "it ends too early"
        case .malformedDuration: "a duration is malformed: write \"1.5s\""
        case .malformedTimestamp: "a timestamp is malformed: write \"2000-01-31T12:00:00Z\""
        case .malformedFieldMask: "a field mask is malformed: write \"name,home.street\""
        case .trailingGarbage: "text follows behind its end"
        case .conflictingOneOf: "two fields of one oneof are set"
        case .messageDepthLimit: "its messages are nested too deep"
        case .unknownField(let name): "there is no field \"\(name)\""
        }
    }
}

extension JSONEncodingError {
    fileprivate var text: String {
        switch self {
        case .anyTranscodeFailure: "an Any holds a type that is not registered"
        case .timestampRange: "a timestamp is not of the years 1 to 9999"
        case .durationRange: "a duration is beyond 315,576,000,000 seconds"
        case .fieldMaskConversion: "a path of a field mask has no JSON"
        case .missingFieldNames: "the names of its fields were not compiled in"
        case .missingValue: "a google.protobuf.Value is not set"
        case .valueNumberNotFinite: "the number of a google.protobuf.Value is not finite"
        }
    }
}
