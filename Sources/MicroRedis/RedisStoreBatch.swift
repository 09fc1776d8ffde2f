internal import Micro

/// A batch as the script takes it, and what the script says of it: pure.
enum RedisStoreBatch {
    static func arguments(_ batch: StoreBatch, _ limits: StoreLimits) -> [RedisArgument] {
        var arguments: [RedisArgument] = [
            RedisArgument(limits.entries), RedisArgument(limits.bytes),
            RedisArgument(batch.checks.count), RedisArgument(batch.operations.count),
        ]
        arguments.reserveCapacity(4 + 2 * batch.checks.count + 7 * batch.operations.count)
        for check in batch.checks {
            arguments += [RedisArgument(check.key), argument(check.condition)]
        }
        for operation in batch.operations {
            let head = [
                RedisArgument(operation.key), argument(operation.condition),
                RedisArgument(operation.fence.map(token) ?? ""),
            ]
            switch operation {
            case .write(let write):
                let size = write.key.utf8.count + write.value.count + write.metadata.byteCount
                arguments.append("w")
                arguments += head
                arguments += [
                    RedisArgument(write.timeToLive.map { "\(microseconds($0))" } ?? ""),
                    RedisArgument(size), RedisArgument(RedisStoreRecord.payload(of: write)),
                ]
            case .delete:
                arguments.append("d")
                arguments += head
                arguments += ["", 0, ""]
            }
        }
        return arguments
    }

    private static func argument(_ condition: WriteCondition) -> RedisArgument {
        switch condition {
        case .any: "*"
        case .absent: "-"
        case .version(let version): RedisArgument(version)
        }
    }

    /// With leading zeros: the script compares tokens as text.
    private static func token(_ fence: UInt64) -> String {
        let digits = String(fence)
        return String(repeating: "0", count: max(0, 19 - digits.utf8.count)) + digits
    }

    /// Rounded up, and at most a century: beyond that the sum with the present is not exact.
    private static func microseconds(_ duration: Duration) -> UInt64 {
        let nanoseconds = duration.unsignedNanoseconds
        let whole = nanoseconds / 1000 + (nanoseconds % 1000 == 0 ? 0 : 1)
        return min(max(1, whole), 3_155_760_000_000_000)
    }

    /// When the first of its records is over.
    static func firstExpiry(_ batch: StoreBatch) -> Duration? {
        batch.operations.compactMap { operation in
            guard case .write(let write) = operation else { return nil }
            return write.timeToLive.map { .microseconds(Int64(microseconds($0))) }
        }.min()
    }

    /// - Returns: nil for an answer that is not understood.
    /// - Throws: ``MicroError``: why it was not done.
    static func result(
        of batch: StoreBatch, _ word: String, _ values: [RedisValue], _ limits: StoreLimits
    ) throws(MicroError) -> StoreCommit? {
        guard values.count == 2 else { return nil }
        switch word {
        case "OK":
            guard let revision = number(values[0]), let deleted = values[1].integer else {
                return nil
            }
            return StoreCommit(revision: revision, deleted: Int(deleted))
        case "FULL":
            guard let count = number(values[1]) else { return nil }
            throw full(values[0].string ?? "", count, limits)
        default: break
        }
        guard let place = values[0].integer.flatMap({ Int(exactly: $0) }), place >= 0,
            let found = number(values[1])
        else { return nil }
        if word == "READ", place < batch.checks.count {
            let check = batch.checks[place]
            throw StoreRefusal.checkConflict(
                check.key, check.condition, found: found == 0 ? nil : found)
        }
        guard place < batch.operations.count else { return nil }
        let operation = batch.operations[place]
        switch word {
        case "VERSION":
            throw StoreRefusal.conflict(
                operation.key, operation.condition, found: found == 0 ? nil : found)
        case "FENCE":
            throw StoreRefusal.staleFence(operation.key, operation.fence ?? 0, seen: found)
        default: return nil
        }
    }

    private static func number(_ value: RedisValue) -> UInt64? {
        value.string.flatMap { UInt64($0) }
    }

    private static func full(
        _ limit: String, _ count: UInt64, _ limits: StoreLimits
    ) -> MicroError {
        switch limit {
        case "entries":
            StoreRefusal.full("\(count) records are there, and entries is \(limits.entries)")
        case "bytes": StoreRefusal.full("\(count) bytes are there, and bytes is \(limits.bytes)")
        default: StoreRefusal.full("\(count) keys have a token, and entries is \(limits.entries)")
        }
    }
}
