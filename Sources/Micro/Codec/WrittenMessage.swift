internal import CMicroCore

/// A message that is being written, for as long as something is encoded to it.
///
/// Encoders and containers hold on to it. One that is kept longer finds it closed, and throws. For
/// one thread.
@usableFromInline
final class WrittenMessage {
    let core: OpaquePointer
    private(set) var traits: CodingTraits
    private(set) var isOpen = false
    let directTypes = RecentTypes<(any DirectEncodable.Type)?>()
    private var finished = FinishedMessage()

    private init(_ traits: CodingTraits) {
        guard let core = mcore_writer_create() else { fatalError("out of memory") }
        self.core = core
        self.traits = traits
    }

    deinit { mcore_writer_destroy(core) }

    /// One that takes nothing.
    static var closed: WrittenMessage { WrittenMessage(CodingTraits(MCORE_FORMAT_JSON)) }

    /// Writes one value, and lends what it has become.
    ///
    /// - Parameters:
    ///   - write: Writes the value at the place that it gets; called a second time for a type that
    ///     adds to its lists and objects out of their order.
    ///   - body: Gets that.
    static func with<T>(
        _ traits: CodingTraits, write: (WrittenMessage, MessagePlace) throws -> Void,
        _ body: (FinishedMessage) throws -> T
    ) throws -> T {
        var message = ThreadSpare.take(MCORE_SPARE_WRITER) ?? WrittenMessage(traits)
        message.traits = traits
        defer {
            message.isOpen = false
            if isKnownUniquelyReferenced(&message) {
                mcore_writer_reset(message.core, ThreadSpare.keptBytes)
                ThreadSpare.keep(message, as: MCORE_SPARE_WRITER)
            }
        }
        if try !message.attempt(isUnordered: false, write) {
            guard try message.attempt(isUnordered: true, write) else {
                throw message.failure(Int32(MCORE_EBUSY))
            }
        }
        return try body(message.finished)
    }

    /// false: it adds out of order.
    private func attempt(
        isUnordered: Bool, _ write: (WrittenMessage, MessagePlace) throws -> Void
    ) throws -> Bool {
        var options = mcore_writer_options()
        mcore_writer_options_default(&options)
        options.flags =
            (traits.isSorted ? UInt32(MCORE_WRITER_SORTED) : 0)
            | (isUnordered ? UInt32(MCORE_WRITER_UNORDERED) : 0)
        options.depth_max = traits.depthMax
        let begun = mcore_writer_begin(core, traits.format, &options)
        if begun < 0 { throw failure(begun) }
        isOpen = true
        defer { isOpen = false }
        try write(self, mcore_writer_top(core))
        let status = finish()
        if status == Int32(MCORE_EBUSY) { return false }
        if status < 0 { throw failure(status) }
        return true
    }

    private func finish() -> mcore_status {
        if traits.format == MCORE_FORMAT_DOCUMENT {
            return mcore_writer_document(core, &finished.document)
        }
        var slice = mcore_slice()
        let status = mcore_writer_finish(core, &slice)
        finished.bytes = UnsafeRawBufferPointer(start: slice.data, count: slice.len)
        return status
    }
}

/// What was written, as long as it is lent.
struct FinishedMessage {
    fileprivate(set) var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Of the format that is one.
    fileprivate(set) var document: OpaquePointer?
}
