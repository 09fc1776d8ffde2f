extension Array where Element == UInt8 {
    /// A copy of the bytes.
    package init(copying bytes: RawSpan) { self = bytes.withUnsafeBytes { [UInt8]($0) } }
}
