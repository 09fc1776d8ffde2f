import CMicroCore

/// What the C core does with JSON, without any values in Swift.
enum ScannerWork {
    private static let depthMax: UInt32 = 64

    static func validating(_ json: [UInt8]) throws -> Work {
        try check(json) { mcore_json_validate($0, depthMax, nil) }
        return Work(bytes: json.count) { count in
            try slice(of: json) { slice in
                for _ in 0..<count {
                    try ensure(mcore_json_validate(slice, depthMax, nil) == MCORE_OK)
                }
            }
        }
    }

    static func reading(_ json: [UInt8]) throws -> Work {
        let document = DocumentHandle()
        try check(json) { mcore_json_read(document.pointer, $0, nil) }
        return Work(bytes: json.count) { count in
            try slice(of: json) { slice in
                for _ in 0..<count {
                    try ensure(mcore_json_read(document.pointer, slice, nil) == MCORE_OK)
                }
            }
        }
    }

    /// That broken documents are refused, too.
    private static func check(_ json: [UInt8], _ read: (mcore_slice) -> mcore_status) throws {
        var broken = json
        broken[broken.count / 2] = 0xFF
        try ensure(slice(of: json, read) == MCORE_OK)
        try ensure(slice(of: json.dropLast(), read) == MCORE_EPROTO)
        try ensure(slice(of: broken, read) == MCORE_EPROTO)
    }

    private static func ensure(_ holds: Bool) throws {
        guard holds else { throw Unfit("a document is refused, or a broken one is not") }
    }

    private static func slice<Bytes: Collection<UInt8>, Result>(
        of bytes: Bytes, _ body: (mcore_slice) throws -> Result
    ) rethrows -> Result {
        try Array(bytes).withUnsafeBytes {
            try body(mcore_slice(data: $0.baseAddress, len: $0.count))
        }
    }

    private final class DocumentHandle {
        let pointer = mcore_document_create()

        deinit { mcore_document_destroy(pointer) }
    }
}
