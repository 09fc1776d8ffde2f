internal import CMicroCore

/// Where one value of a message goes.
typealias MessagePlace = mcore_place

// A type that adds to its lists and objects out of their order is written once more, in the way
// that allows for it: until then what it does has no effect. So that is no error here, and no other
// can be lost where a type cannot throw: the writer keeps the first one.

extension WrittenMessage {
    func null() throws { try accept(mcore_writer_null(open)) }
    func boolean(_ value: Bool) throws { try accept(mcore_writer_boolean(open, value ? 1 : 0)) }
    func integer(_ value: Int64) throws { try accept(mcore_writer_integer(open, value)) }
    func natural(_ value: UInt64) throws { try accept(mcore_writer_natural(open, value)) }
    func double(_ value: Double) throws { try accept(mcore_writer_real(open, value)) }
    func float(_ value: Float) throws { try accept(mcore_writer_real32(open, value)) }

    func string(_ value: String) throws {
        let writer = try open
        var text = value
        try accept(text.withUTF8 { mcore_writer_text(writer, mcore_slice($0)) })
    }

    /// A decimal number, digit by digit.
    func number(_ value: String) throws {
        let writer = try open
        var text = value
        try accept(text.withUTF8 { mcore_writer_number(writer, mcore_slice($0)) })
    }

    func bytes(_ value: UnsafeRawBufferPointer) throws {
        try accept(mcore_writer_bytes(open, mcore_slice(value)))
    }

    /// The next value is to go to `place`.
    func select(_ place: MessagePlace) throws { try accept(mcore_writer_at(open, place)) }

    /// Begins an entry of the object at `place`: the next value is its value.
    @inline(__always)
    @discardableResult
    func key(_ key: some CodingKey, in place: MessagePlace) throws -> MessagePlace {
        var name = key.stringValue
        return try name.withUTF8 { try self.key(mcore_slice($0), in: place) }
    }

    @inline(__always)
    func key(_ name: mcore_slice, in place: MessagePlace) throws -> MessagePlace {
        var inside: MessagePlace = 0
        try accept(mcore_writer_key(open, place, name, &inside))
        return inside
    }

    /// Begins an element of the list at `place`: the next value is that.
    @inline(__always)
    @discardableResult
    func element(in place: MessagePlace) throws -> MessagePlace {
        var inside: MessagePlace = 0
        try accept(mcore_writer_element(open, place, &inside))
        return inside
    }
}

extension WrittenMessage {
    func openMap(at place: MessagePlace, isSorted: Bool) {
        if isOpen { mcore_writer_open_map(core, place, isSorted ? 1 : 0) }
    }

    func openArray(at place: MessagePlace) {
        if isOpen { mcore_writer_open_array(core, place) }
    }

    /// As ``key(_:in:)``; a place that nothing can be written to when there is an error.
    func begin(_ key: some CodingKey, in place: MessagePlace) -> MessagePlace {
        (try? self.key(key, in: place)) ?? .max
    }

    /// As ``element(in:)``.
    func beginElement(in place: MessagePlace) -> MessagePlace {
        (try? element(in: place)) ?? .max
    }

    /// Whether nothing was written at `place` yet.
    func isAwaited(_ place: MessagePlace) -> Bool {
        isOpen && mcore_writer_is_awaited(core, place) != 0
    }

    func count(at place: MessagePlace) -> Int { isOpen ? mcore_writer_count(core, place) : 0 }

    /// Where the last value is, as one step: "orders[3].price".
    var path: [any CodingKey] {
        let path = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { text in
            _ = mcore_writer_path(core, text.baseAddress, text.count)
            return text.baseAddress.map { String(cString: $0) } ?? ""
        }
        return path.isEmpty ? [] : [PathKey.name(path)]
    }
}

extension WrittenMessage {
    private var open: OpaquePointer {
        @inline(__always) get throws {
            if !isOpen { throw closed }
            return core
        }
    }

    private var closed: EncodingError {
        .invalidValue(
            self,
            EncodingError.Context(
                codingPath: [],
                debugDescription: "an encoder was used after its message had been written"))
    }

    @inline(__always)
    private func accept(_ status: mcore_status) throws {
        if status < 0, status != Int32(MCORE_EBUSY) { throw failure(status) }
    }

    func failure(_ status: mcore_status) -> MicroError {
        let fault = mcore_writer_fault(core).map { String(cString: $0) } ?? ""
        let text = fault.isEmpty ? CoreStatus(raw: status).text : fault
        let field = path.first?.stringValue ?? ""
        if traits.isIncoming {
            return .invalid(
                "", "\(field.isEmpty ? "the message" : field) is not valid: \(text)",
                at: field.isEmpty ? nil : field)
        }
        return .internalError(
            "", "\(field.isEmpty ? "the message" : field) can't be encoded: \(text)",
            metadata: field.isEmpty ? [:] : ["field": field])
    }
}
