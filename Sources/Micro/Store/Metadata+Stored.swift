/// How metadata is kept beside a value, where a store has only bytes for it: for each entry the
/// length of the name, the name, 0 for text or 1 for bytes, the length of the value, the value.
/// Lengths are in base 128, low digits first. Empty metadata has no bytes.
extension Metadata {
    /// As bytes.
    package var storedBytes: [UInt8] {
        var bytes: [UInt8] = []
        for entry in entries {
            bytes.append(stored: Array(entry.name.utf8))
            switch entry.value {
            case .text(let text):
                bytes.append(0)
                bytes.append(stored: Array(text.utf8))
            case .bytes(let value):
                bytes.append(1)
                bytes.append(stored: value)
            }
        }
        return bytes
    }

    /// From ``storedBytes``; nil when they are something else.
    package init?(storedBytes: [UInt8]) {
        self.init()
        var rest = storedBytes[...]
        while !rest.isEmpty {
            guard let name = rest.takeStored(), let kind = rest.popFirst(), kind <= 1,
                let value = rest.takeStored()
            else { return nil }
            entries.append(
                Entry(
                    name: String(decoding: name, as: UTF8.self),
                    value: kind == 0
                        ? .text(String(decoding: value, as: UTF8.self)) : .bytes(Array(value))))
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(stored bytes: [UInt8]) {
        var length = bytes.count
        while length >= 0x80 {
            append(UInt8(length & 0x7F | 0x80))
            length >>= 7
        }
        append(UInt8(length))
        append(contentsOf: bytes)
    }
}

extension ArraySlice<UInt8> {
    fileprivate mutating func takeStored() -> ArraySlice<UInt8>? {
        var length = 0
        var shift = 0
        while let digit = popFirst() {
            length |= Int(digit & 0x7F) << shift
            shift += 7
            guard digit >= 0x80 else {
                guard length <= count else { return nil }
                defer { removeFirst(length) }
                return prefix(length)
            }
            if shift > 28 { return nil }
        }
        return nil
    }
}
