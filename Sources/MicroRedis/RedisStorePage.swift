internal import Micro

/// What is known of a store in Redis.
struct RedisStoreFacts: Sendable, Equatable {
    let revision: UInt64
    /// The last change that is not remembered any more.
    let forgotten: RedisStorePosition
    /// The store's own name, which it loses with its data.
    let epoch: String
    /// Until the next record is over; nil: none will be.
    let untilExpiry: Duration?

    /// nil for what is not understood.
    init?(_ values: [RedisValue]) {
        guard values.count >= 4, let revision = values[0].string.flatMap({ UInt64($0) }),
            let forgotten = values[1].string.flatMap({ RedisStorePosition(id: $0) }),
            let epoch = values[2].string, let expiry = values[3].string
        else { return nil }
        self.revision = revision
        self.forgotten = forgotten
        self.epoch = epoch
        self.untilExpiry = Int64(expiry).map { .microseconds($0) }
    }
}

/// A part of the log of changes.
struct RedisStorePage: Sendable {
    let facts: RedisStoreFacts
    var entries: [StoreWatchers.Entry]
    /// Everything up to here was looked at.
    var end: RedisStorePosition
    let isLast: Bool

    /// "id kind key ttl payload".
    static func entry(_ value: RedisValue) throws(MicroError) -> StoreWatchers.Entry {
        guard let fields = value.array, fields.count == 5,
            let position = fields[0].string.flatMap({ RedisStorePosition(id: $0) }),
            let key = fields[2].string, let payload = fields[4].bytes
        else { throw damaged }
        let kind: StoreChange.Kind
        switch fields[1].string {
        case "w":
            let timeToLive = fields[3].string.flatMap { Int64($0) }
            kind = .written(
                try RedisStoreRecord.read(
                    key, payload[...], version: position.revision,
                    timeToLive: timeToLive.map { .microseconds($0) }))
        case "d": kind = .deleted
        case "x": kind = .expired
        default: throw damaged
        }
        return StoreWatchers.Entry(
            position: position.number,
            change: StoreChange(key: key, revision: position.revision, kind: kind))
    }

    private static var damaged: MicroError {
        .dataLoss("store.changes", "what Redis holds in the log of the store is not a change")
    }
}
