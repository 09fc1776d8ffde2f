/// A form in which a message may be written, as headers name it.
public protocol MessageForm: Sendable {
    /// Its short name, "json": the suffix of `application/grpc+json`.
    var name: String { get }
    /// Its content type, "application/json".
    var contentType: ContentType { get }
    /// Whether many of them can follow each other as the body of a plain HTTP answer. Default true.
    var isStreamable: Bool { get }
    /// Whether a request in this form that asks for no other is answered in it. Default true; a
    /// form of the web is answered in the form that is preferred.
    var answersInKind: Bool { get }
}

extension MessageForm {
    /// Most forms are.
    public var isStreamable: Bool { true }
    /// Most are.
    public var answersInKind: Bool { true }
}

/// How values of one type are read from messages. ``CodableCoding`` does it with codecs; a module
/// for another kind of messages brings its own.
///
/// It is called from any thread, and gets whatever a remote peer sent: it never traps.
public protocol MessageReading<Message>: Sendable {
    associatedtype Message: Sendable
    associatedtype ReadForm: MessageForm

    /// What can be read, the preferred first.
    var readForms: [ReadForm] { get }

    /// The form that a content type means. See ``Codecs/codec(for:carrying:)`` for the rules.
    ///
    /// - Throws: ``MicroError`` with `unsupportedMediaType` that lists what is accepted.
    func readForm(for contentType: String) throws(MicroError) -> ReadForm

    /// The value in `bytes`, which are borrowed: nothing of them is kept.
    ///
    /// - Throws: ``MicroError`` with `invalidArgument` that names the place.
    func read(_ bytes: RawSpan, as form: ReadForm) throws -> Message
}

/// How values of one type are written as messages.
public protocol MessageWriting<Message>: Sendable {
    associatedtype Message: Sendable
    associatedtype WrittenForm: MessageForm

    /// What can be written, the preferred first.
    var writtenForms: [WrittenForm] { get }

    /// The form that a content type means; the preferred one for "".
    ///
    /// - Throws: ``MicroError`` with `unsupportedMediaType` that lists what can be written.
    func writtenForm(for contentType: String) throws(MicroError) -> WrittenForm

    /// The message of `value`.
    ///
    /// - Throws: ``MicroError`` with `internal` when the value has no such form.
    func write(_ value: Message, as form: WrittenForm) throws -> [UInt8]

    /// Adds the message of `value`. Default: as ``write(_:as:)``.
    ///
    /// - Throws: As ``write(_:as:)``; `message` may have a part of it then.
    func write(_ value: Message, as form: WrittenForm, into message: inout MessageWriter) throws
}

extension MessageReading {
    /// By the rules of ``Codecs/codec(for:carrying:)`` among ``readForms``.
    public func readForm(for contentType: String) throws(MicroError) -> ReadForm {
        let forms = readForms
        guard let form = forms.meant(by: contentType) else {
            throw forms.unsupported(contentType, carrying: Message.self)
        }
        return form
    }
}

extension MessageWriting {
    /// As ``write(_:as:)``.
    @inlinable
    public func write(
        _ value: Message, as form: WrittenForm, into message: inout MessageWriter
    ) throws {
        message.append(try write(value, as: form))
    }

    /// By the rules of ``Codecs/codec(for:carrying:)`` among ``writtenForms``.
    public func writtenForm(for contentType: String) throws(MicroError) -> WrittenForm {
        let forms = writtenForms
        guard let form = forms.meant(by: contentType) else {
            throw forms.unsupported(contentType, carrying: Message.self)
        }
        return form
    }
}

/// `Codable` values by the codecs that can carry them.
public struct CodableCoding<Message: Sendable>: Sendable {
    /// A codec as a form.
    public struct Form: MessageForm {
        @usableFromInline let entry: Codecs.Entry
        /// The codec's name.
        @inlinable public var name: String { entry.name }
        /// What the codec writes.
        @inlinable public var contentType: ContentType { entry.contentType }
        /// As the codec says.
        public var isStreamable: Bool { entry.isStreamable }
        /// As the codec says.
        public var answersInKind: Bool { entry.answersInKind }

        @inlinable init(_ entry: Codecs.Entry) { self.entry = entry }
    }

    @usableFromInline let codecs: Codecs

    /// - Parameter codecs: How messages may be written, the preferred first.
    @inlinable public init(_ codecs: Codecs) { self.codecs = codecs }

    @inlinable var forms: [Form] { codecs.entries(for: Message.self).map { Form($0) } }

    // Without the list of forms: this is asked for every call.
    @inlinable func form(for contentType: String) throws(MicroError) -> Form {
        Form(try codecs.entry(for: contentType, carrying: Message.self))
    }
}

extension CodableCoding: MessageReading where Message: Decodable {
    /// The codecs that can carry the type, the preferred first.
    @inlinable public var readForms: [Form] { forms }
    /// As ``Codecs/codec(for:carrying:)``.
    @inlinable public func readForm(for contentType: String) throws(MicroError) -> Form {
        try form(for: contentType)
    }
    /// As ``Codec/decode(_:from:)``.
    @inlinable public func read(_ bytes: RawSpan, as form: Form) throws -> Message {
        if Message.self == [UInt8].self, form.entry.isUnchanged,
            let message = [UInt8](copying: bytes) as? Message
        {
            return message
        }
        return try form.entry.codec.decode(Message.self, from: bytes)
    }
}

extension CodableCoding: MessageWriting where Message: Encodable {
    /// The codecs that can carry the type, the preferred first.
    @inlinable public var writtenForms: [Form] { forms }
    /// As ``Codecs/codec(for:carrying:)``.
    @inlinable public func writtenForm(for contentType: String) throws(MicroError) -> Form {
        try form(for: contentType)
    }
    /// As ``Codec/encode(_:)``.
    @inlinable public func write(_ value: Message, as form: Form) throws -> [UInt8] {
        if Message.self == [UInt8].self, form.entry.isUnchanged, let bytes = value as? [UInt8] {
            return bytes
        }
        return try form.entry.codec.encode(value)
    }
    /// As ``Codec/encode(_:into:)``.
    @inlinable
    public func write(_ value: Message, as form: Form, into message: inout MessageWriter) throws {
        if Message.self == [UInt8].self, form.entry.isUnchanged, let bytes = value as? [UInt8] {
            return message.append(bytes)
        }
        try form.entry.codec.encode(value, into: &message)
    }
}
