extension String {
    /// A copy of bytes that whoever read them has found to be UTF-8: they are not checked again,
    /// which takes longer than the copy.
    init(knownUTF8 bytes: UnsafeBufferPointer<UInt8>) {
        if #available(macOS 26, *) {
            let text = UTF8Span(unchecked: bytes.span, isKnownASCII: bytes.isLongASCII)
            self.init(copying: text)
        } else {
            self.init(decoding: bytes, as: UTF8.self)
        }
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Whether these are ASCII; false of up to 15 bytes, of which a string finds out by itself.
    fileprivate var isLongASCII: Bool {
        guard count > 15, let start = UnsafeRawPointer(baseAddress) else { return false }
        func word(_ at: Int) -> UInt64 { start.loadUnaligned(fromByteOffset: at, as: UInt64.self) }
        let beyond: UInt64 = 0x8080_8080_8080_8080
        var at = 0
        while count - at >= 32 {
            let words = word(at) | word(at + 8) | word(at + 16) | word(at + 24)
            if words & beyond != 0 { return false }
            at += 32
        }
        var words = word(count - 8) | word(count - 16)
        if count - at > 16 { words |= word(at) }
        return words & beyond == 0
    }
}
