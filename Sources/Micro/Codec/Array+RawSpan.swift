extension Array where Element == UInt8 {
    /// A copy of the bytes.
    @inlinable
    package init(copying bytes: RawSpan) { self = bytes.withUnsafeBytes { [UInt8]($0) } }
}
