/// Times to live in a file that counts milliseconds: a record is never gone too early, and at most
/// one millisecond late.
enum StoreFileTime {
    /// When a record is over that is written at `now`. The millisecond of `now` has begun before.
    static func expiry(after timeToLive: Duration, from now: Int64) -> Int64 {
        let nanoseconds = timeToLive.clampedNanoseconds
        let milliseconds = nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1)
        let (sum, isBeyond) = now.addingReportingOverflow(milliseconds + 1)
        return isBeyond ? .max : sum
    }

    /// What is left at `now`, of a record that is there still.
    static func timeToLive(until expiry: Int64, from now: Int64) -> Duration {
        .milliseconds(max(0, expiry - now - 1))
    }
}

extension StoreRecord {
    /// - Throws: ``MicroError`` `dataLoss` when the metadata is not what was written.
    init(_ key: String, _ record: StoreFile.Record, now: Int64) throws(MicroError) {
        guard let metadata = Metadata(storedBytes: record.metadata) else {
            throw .dataLoss(
                "store.read", "the metadata of \"\(key)\" can't be read", reason: "STORE_DAMAGED")
        }
        self.init(
            key: key, value: record.value, contentType: record.contentType, metadata: metadata,
            version: record.version,
            timeToLive: record.expiry.map { StoreFileTime.timeToLive(until: $0, from: now) })
    }
}

extension StoreChange {
    /// - Throws: As the record's.
    init(_ change: StoreFile.Change) throws(MicroError) {
        let kind: Kind =
            switch change.kind {
            case .deleted: .deleted
            case .expired: .expired
            case .written(let record):
                .written(try StoreRecord(change.key, record, now: change.time))
            }
        self.init(key: change.key, revision: change.revision, kind: kind)
    }
}
