/// A record of a ``MemoryStore``, which its table and its journal share.
final class MemoryStoreEntry: Sendable {
    let key: ExactKey
    let size: Int
    let expiry: EventLoopClock.Instant?
    private let value: [UInt8]
    private let contentType: String
    private let metadata: Metadata
    private let timeToLive: Duration?
    nonisolated(unsafe) var version: UInt64 = 0  // Set once, before anybody else sees the entry.
    /// Of the shard's uses, which one was the last.
    nonisolated(unsafe) var lastUse: UInt64 = 0  // For who has the shard locked.

    init(_ write: StoreBatch.Write, key: ExactKey, clock: EventLoopClock) {
        self.key = key
        self.size = write.storedBytes
        self.expiry = write.timeToLive.map { clock.now.advanced(by: $0) }
        self.value = write.value
        self.contentType = write.contentType
        self.metadata = write.metadata
        self.timeToLive = write.timeToLive
    }

    func isOver(at now: EventLoopClock.Instant) -> Bool { expiry.map { $0 <= now } ?? false }

    func record(at now: EventLoopClock.Instant) -> StoreRecord {
        record(timeToLive: expiry.map { max(.zero, now.duration(to: $0)) })
    }

    /// As it was when it was written.
    var writtenRecord: StoreRecord { record(timeToLive: timeToLive) }

    private func record(timeToLive: Duration?) -> StoreRecord {
        StoreRecord(
            key: key.string, value: value, contentType: contentType,
            metadata: metadata, version: version, timeToLive: timeToLive)
    }
}

extension StoreBatch.Write {
    /// What it takes of a store's limit of bytes.
    var storedBytes: Int { key.utf8.count + value.count + metadata.byteCount }
}
