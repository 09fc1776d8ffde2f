internal import CMicroCore

/// A status number of the C core, where Swift needs it by name.
struct CoreStatus: Sendable, Hashable {
    let raw: Int32

    static let ok = CoreStatus(raw: Int32(MCORE_OK))
    static let notFound = CoreStatus(raw: Int32(MCORE_ENOENT))
    static let addressInUse = CoreStatus(raw: Int32(MCORE_EADDRINUSE))
    static let cancelled = CoreStatus(raw: Int32(MCORE_ECANCELED))
    static let timedOut = CoreStatus(raw: Int32(MCORE_ETIMEDOUT))
    static let draining = CoreStatus(raw: Int32(MCORE_EDRAINING))
    static let busy = CoreStatus(raw: Int32(MCORE_EBUSY))
    static let limit = CoreStatus(raw: Int32(MCORE_ELIMIT))
    static let closed = CoreStatus(raw: Int32(MCORE_ECLOSED))
    static let unavailable = CoreStatus(raw: Int32(MCORE_EUNAVAILABLE))
    static let noSecureConnection = CoreStatus(raw: Int32(MCORE_ETLS))
    static let brokenPlugin = CoreStatus(raw: Int32(MCORE_EPLUGIN))
    static let unsupported = CoreStatus(raw: Int32(MCORE_ENOTSUP))

    /// The core's own text for it, e.g. "address already in use".
    var text: String { String(cString: mcore_status_text(raw)) }

    /// What it amounts to in the vocabulary of errors.
    var code: MicroError.Code {
        switch raw {
        case Int32(MCORE_EINVAL): .invalidArgument
        case Int32(MCORE_ENOMEM), Int32(MCORE_ELIMIT), Int32(MCORE_EMFILE): .resourceExhausted
        case Int32(MCORE_ECANCELED): .cancelled
        case Int32(MCORE_ETIMEDOUT): .deadlineExceeded
        case Int32(MCORE_EACCES): .permissionDenied
        case Int32(MCORE_ENOENT): .notFound
        case Int32(MCORE_EEXIST): .alreadyExists
        case Int32(MCORE_ENOTSUP): .unimplemented
        case Int32(MCORE_ECORRUPT): .dataLoss
        case Int32(MCORE_EPROTO): .internal
        default: .unavailable
        }
    }
}

/// Turns an error status into a ``MicroError`` that says what was being done.
///
/// - Parameters:
///   - status: What a function of the core returned.
///   - id: Where, for ``MicroError/id``.
///   - what: What was being done, with its object: "listen on tcp://127.0.0.1:80".
func check(
    _ status: mcore_status, _ id: String, _ what: @autoclosure () -> String
) throws(MicroError) {
    guard status < 0 else { return }
    let status = CoreStatus(raw: status)
    throw MicroError(id, status.code, "\(what()): \(status.text)")
}

/// Calls the core with room for one line of text.
func withDetail(
    _ body: (UnsafeMutablePointer<CChar>?, Int) -> mcore_status
) -> (mcore_status, String) {
    var detail = [CChar](repeating: 0, count: 512)
    let status = detail.withUnsafeMutableBufferPointer { body($0.baseAddress, $0.count) }
    let end = detail.firstIndex(of: 0) ?? detail.endIndex
    return (
        status, String(decoding: detail[..<end].map(UInt8.init(bitPattern:)), as: UTF8.self)
    )
}

/// A handle of the core that may be carried to the thread it belongs to.
struct CorePointer: @unchecked Sendable {  // used on the thread that its header names
    let raw: OpaquePointer
}

extension String {
    /// Copies bytes of the core; invalid UTF-8 becomes U+FFFD.
    init(_ slice: mcore_slice) {
        guard let data = slice.data, slice.len > 0 else {
            self = ""
            return
        }
        self = String(
            decoding: UnsafeRawBufferPointer(start: data, count: slice.len), as: UTF8.self)
    }
}

extension Array where Element == UInt8 {
    /// Copies bytes of the core.
    init(_ slice: mcore_slice) {
        guard let data = slice.data, slice.len > 0 else {
            self = []
            return
        }
        self = Array(UnsafeRawBufferPointer(start: data, count: slice.len))
    }
}
