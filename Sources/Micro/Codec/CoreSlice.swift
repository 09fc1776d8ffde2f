internal import CMicroCore

extension mcore_slice {
    @inline(__always)
    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.init(data: bytes.baseAddress, len: bytes.count)
    }

    /// A name that stands in the program.
    @inline(__always)
    init(_ name: StaticString) {
        precondition(name.hasPointerRepresentation, "a name has to be a string literal")
        self.init(data: name.utf8Start, len: name.utf8CodeUnitCount)
    }
}
