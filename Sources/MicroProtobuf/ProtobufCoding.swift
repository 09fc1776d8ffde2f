public import Micro
public import SwiftProtobuf

/// Protobuf messages in their binary form, which is preferred, and as JSON.
///
/// JSON is that of the protobuf specification: field names in lowerCamelCase (those of the .proto
/// are read, too), 64-bit numbers as strings, bytes in base64. Fields that the message doesn't have
/// are skipped in both forms.
public struct ProtobufCoding<Message: SwiftProtobuf.Message & Sendable>: Sendable {
    /// Makes the coding.
    @inlinable public init() {}

    @usableFromInline
    static func form(for contentType: String) throws(MicroError) -> ProtobufForm {
        guard let form = ProtobufForm.meant(by: contentType) else {
            throw ProtobufForm.all.unsupported(contentType, carrying: Message.self)
        }
        return form
    }
}

extension ProtobufCoding: MessageReading {
    /// Binary, JSON.
    public var readForms: [ProtobufForm] { ProtobufForm.all }

    /// The form that a content type means. `application/x-protobuf` is the binary one, too.
    ///
    /// - Throws: ``MicroError`` with `unsupportedMediaType` that lists what is accepted.
    @inlinable public func readForm(for contentType: String) throws(MicroError) -> ProtobufForm {
        try Self.form(for: contentType)
    }

    /// The message in `bytes`, which are borrowed. Without bytes it is the message without fields:
    /// that is its binary form, and as JSON it is accepted of a `google.protobuf.Empty`.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument` that says what is wrong with them.
    @inlinable public func read(_ bytes: RawSpan, as form: ProtobufForm) throws -> Message {
        do {
            guard form.isJSON else { return try Message(serializedBytes: bytes) }
            return try Self.readJSON(bytes)
        } catch {
            throw Self.unreadable(error, form)
        }
    }

    @usableFromInline
    static func unreadable(_ error: any Error, _ form: ProtobufForm) -> MicroError {
        ProtobufFailure.unreadable(error, Message.self, form)
    }

    @usableFromInline
    static func readJSON(_ bytes: RawSpan) throws -> Message {
        if bytes.isEmpty, Message.self == Google_Protobuf_Empty.self { return Message() }
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        let bytes = bytes.withUnsafeBytes { [UInt8]($0) }
        do {
            return try Message(jsonUTF8Bytes: bytes, options: options)
        } catch {
            // Whoever wrote it by hand wants to know where.
            let depth = options.messageDepthLimit
            guard let fault = JSONSyntax.firstFault(in: bytes, maximumDepth: depth) else {
                throw error
            }
            throw ProtobufFailure.syntax(line: fault.line, column: fault.column, fault.what)
        }
    }
}

extension ProtobufCoding: MessageWriting {
    /// Binary, JSON.
    public var writtenForms: [ProtobufForm] { ProtobufForm.all }

    /// The form that a content type means; the binary one for "".
    ///
    /// - Throws: ``MicroError`` with `unsupportedMediaType` that lists what can be written.
    @inlinable public func writtenForm(for contentType: String) throws(MicroError) -> ProtobufForm {
        try Self.form(for: contentType)
    }

    /// The bytes of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` when it has no such form: a required field is
    ///   missing, or a value has no JSON.
    @inlinable public func write(_ value: Message, as form: ProtobufForm) throws -> [UInt8] {
        do {
            return form.isJSON ? try value.jsonUTF8Bytes() : try value.serializedBytes()
        } catch {
            throw Self.unwritable(error, form)
        }
    }

    @usableFromInline
    static func unwritable(_ error: any Error, _ form: ProtobufForm) -> MicroError {
        ProtobufFailure.unwritable(error, Message.self, form)
    }
}
