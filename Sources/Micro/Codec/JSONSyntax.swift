internal import CMicroCore

/// Checks JSON against RFC 8259 for a decoder that does not say where an error is.
package enum JSONSyntax {
    /// Where and why something is not JSON.
    package struct Fault: Hashable {
        /// From 1.
        package var line: Int
        /// In characters, from 1.
        package var column: Int
        package var what: String
    }

    /// The first fault; nil when it is one JSON value.
    package static func firstFault(in bytes: [UInt8], maximumDepth: Int) -> Fault? {
        var fault = mcore_fault()
        let status = bytes.withUnsafeBytes {
            mcore_json_validate(mcore_slice($0), UInt32(maximumDepth), &fault)
        }
        guard status < 0 else { return nil }
        return Fault(line: Int(fault.line), column: Int(fault.column), what: fault.text)
    }
}

extension mcore_fault {
    /// What is wrong, for people.
    var text: String {
        withUnsafeBytes(of: what) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
