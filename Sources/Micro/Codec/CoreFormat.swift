internal import CMicroCore

/// A format that the core reads and writes, with the choices of one codec.
final class CoreFormat: Sendable {
    typealias Read =
        @Sendable @convention(c) (
            OpaquePointer?, mcore_slice, UnsafePointer<mcore_read_options>?
        ) -> mcore_status

    private let name: String
    private let read: Read
    private let options: mcore_read_options
    private let traits: CodingTraits

    /// - Parameters:
    ///   - name: For people: "JSON".
    ///   - depthMax: Of lists and objects within each other, 1 to 512.
    init(
        _ name: String, _ format: mcore_format, read: @escaping Read, depthMax: Int = 64,
        refusesDuplicates: Bool = false, isSorted: Bool = false,
        dates: DateCoding = .deferredToDate, userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) {
        self.name = name
        self.read = read
        traits = CodingTraits(
            format, depthMax: UInt32(min(max(depthMax, 1), 512)), isSorted: isSorted, dates: dates,
            userInfo: userInfo)
        var options = mcore_read_options()
        mcore_read_options_default(&options)
        options.depth_max = traits.depthMax
        options.refuse_duplicates = refusesDuplicates ? 1 : 0
        self.options = options
    }

    /// See ``Codec/decode(_:from:)``.
    func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        if bytes.isEmpty { return try Empty.decode(type, as: name) }
        do {
            return try bytes.withUnsafeBytes { bytes in
                try ReadDocument.with(traits, read: { try self.read(bytes, into: $0) }) {
                    try $0.decodeMessage(type)
                }
            }
        } catch {
            throw MicroError(error, id: "")
        }
    }

    /// See ``Codec/encode(_:)``.
    func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
        try encoding(value) { [UInt8]($0.bytes) }
    }

    /// See ``Codec/encode(_:into:)``.
    func encode<T: Encodable>(_ value: T, into message: inout MessageWriter) throws {
        try encoding(value) { message.append($0.bytes.bytes) }
    }

    /// The bytes of what `body` writes.
    func encode(_ body: (inout DirectWriter) throws -> Void) throws -> [UInt8] {
        try writing {
            var writer = DirectWriter(LentPlace($0, $1))
            try body(&writer)
        } _: {
            [UInt8]($0.bytes)
        }
    }

    private func encoding<T: Encodable, Result>(
        _ value: T, _ body: (FinishedMessage) -> Result
    ) throws -> Result {
        try writing({ try $0.encodeMessage(value, at: $1) }, body)
    }

    private func writing<Result>(
        _ write: (WrittenMessage, MessagePlace) throws -> Void, _ body: (FinishedMessage) -> Result
    ) throws -> Result {
        do {
            return try WrittenMessage.with(traits, write: write, body)
        } catch {
            throw MicroError(error, id: "")
        }
    }

    private func read(_ bytes: UnsafeRawBufferPointer, into document: OpaquePointer) throws {
        let status = withUnsafePointer(to: options) { read(document, mcore_slice(bytes), $0) }
        if status < 0 { throw failure(status, document) }
    }

    private func failure(_ status: mcore_status, _ document: OpaquePointer) -> MicroError {
        guard status == Int32(MCORE_EPROTO) || status == Int32(MCORE_ELIMIT),
            let fault = mcore_document_fault(document)?.pointee
        else { return MicroError("", CoreStatus(raw: status).code, CoreStatus(raw: status).text) }
        let place =
            fault.line > 0 ? "line \(fault.line), column \(fault.column)" : "byte \(fault.offset)"
        return .invalid("", "not valid \(name) at \(place): \(fault.text)")
    }
}
