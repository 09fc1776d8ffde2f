internal import Micro

/// What is kept of a record beside its key: content type, metadata and value, the first two with
/// their lengths in four bytes before them.
enum RedisStoreRecord {
    static func payload(of write: StoreBatch.Write) -> [UInt8] {
        let contentType = Array(write.contentType.utf8)
        let metadata = write.metadata.isEmpty ? [] : write.metadata.storedBytes
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 + contentType.count + metadata.count + write.value.count)
        for part in [contentType, metadata] {
            for shift in [24, 16, 8, 0] {
                bytes.append(UInt8(truncatingIfNeeded: part.count >> shift))
            }
            bytes += part
        }
        bytes += write.value
        return bytes
    }

    /// - Throws: ``MicroError`` `dataLoss` for what ``payload(of:)`` has not made.
    static func read(
        _ key: String, _ payload: ArraySlice<UInt8>, version: UInt64, timeToLive: Duration?
    ) throws(MicroError) -> StoreRecord {
        var rest = payload
        guard let contentType = take(&rest), let stored = take(&rest),
            let text = String(validating: contentType, as: UTF8.self),
            let metadata = Metadata(storedBytes: Array(stored))
        else { throw damaged(key) }
        return StoreRecord(
            key: key, value: Array(rest), contentType: text, metadata: metadata, version: version,
            timeToLive: timeToLive)
    }

    private static func take(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard rest.count >= 4 else { return nil }
        let count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        rest = rest.dropFirst(4)
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// A record as it is kept: "version expiry payload", the expiry in microseconds since 1970, 0
    /// for none.
    ///
    /// - Parameter now: On the clock of Redis.
    /// - Returns: nil when its time is over.
    static func read(
        _ key: String, _ bytes: [UInt8], now: Int64
    ) throws(MicroError) -> StoreRecord? {
        let parts = bytes.split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let version = UInt64(String(decoding: parts[0], as: UTF8.self)),
            let expiry = Int64(String(decoding: parts[1], as: UTF8.self))
        else { throw damaged(key) }
        if expiry != 0, expiry <= now { return nil }
        return try read(
            key, parts[2], version: version,
            timeToLive: expiry == 0 ? nil : .microseconds(expiry - now))
    }

    private static func damaged(_ key: String) -> MicroError {
        .dataLoss("store.read", "what Redis holds for \"\(key)\" is not a record")
    }
}

/// A place in the log of changes, as a number that grows: the revision, and which of its changes.
struct RedisStorePosition: Comparable {
    private static let indexBits: UInt64 = 20
    private static let indexMask = (UInt64(1) << indexBits) - 1

    let number: UInt64

    init(number: UInt64) { self.number = number }

    /// Before the first change of a revision.
    init(before revision: UInt64) {
        number = min(revision, UInt64.max >> Self.indexBits) << Self.indexBits
    }

    /// Behind the last change of a revision.
    init(behind revision: UInt64) {
        number = RedisStorePosition(before: revision).number | Self.indexMask
    }

    /// "revision-index", as entries of the log are called.
    init?(id: String) {
        let parts = id.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let revision = UInt64(parts[0]), let index = UInt64(parts[1]),
            index <= Self.indexMask
        else { return nil }
        number = RedisStorePosition(before: revision).number | index
    }

    var revision: UInt64 { number >> Self.indexBits }

    /// The first id that lies behind.
    var nextID: String { "\(revision)-\((number & Self.indexMask) + 1)" }

    static func < (lhs: RedisStorePosition, rhs: RedisStorePosition) -> Bool {
        lhs.number < rhs.number
    }
}
