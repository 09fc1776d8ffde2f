internal import Micro

/// Where a store lies in Redis: runs its scripts, and says what their answers mean.
final class RedisStorePlace: Sendable {
    let redis: RedisClient
    let limits: StoreLimits
    /// On which commits are published.
    let channel: String
    private let keys: [RedisArgument]
    private let records: RedisArgument
    private let head: [RedisArgument]

    init(_ options: RedisStoreOptions, _ redis: RedisClient) {
        self.redis = redis
        limits = options.limits
        let names = ["state", "names", "versions", "records", "expiries", "fences", "log"]
        keys = names.map { RedisArgument("{\(options.prefix)}:\($0)") }
        records = RedisArgument("{\(options.prefix)}:records")
        channel = "{\(options.prefix)}:commits"
        // Whoever writes first gives the store its name: one that has lost its data has another.
        let epoch = [redis.environment.random(), redis.environment.random()].map {
            String($0, radix: 16)
        }
        head = [
            RedisArgument(channel), RedisArgument(epoch.joined(separator: "-")),
            RedisArgument(limits.changes), RedisArgument(limits.changeBytes),
        ]
    }

    /// Runs a script.
    ///
    /// - Returns: What it says behind "OK", or the word that it says instead, first.
    func run(
        _ script: RedisScript, _ operation: String, _ arguments: [RedisArgument],
        isIdempotent: Bool
    ) async throws -> (word: String, values: [RedisValue]) {
        let reply = try await asking(operation) {
            try await redis.evaluate(
                script, keys: keys, arguments: head + arguments, isIdempotent: isIdempotent)
        }
        guard let values = reply.array, let word = values.first?.string else {
            throw misunderstood(operation)
        }
        switch word {
        case "FOREIGN":
            throw MicroError.failedPrecondition(
                operation,
                "\(redis.describe()): the keys \(keys[0].text)… are of something that is no store: "
                    + "choose another prefix", reason: "FOREIGN_DATA")
        case "FORMAT":
            throw MicroError.failedPrecondition(
                operation,
                "\(redis.describe()): the store at \(keys[0].text) has the format "
                    + "\(values.last?.string ?? "?"), and \(RedisStoreScripts.format) is known: it "
                    + "is of another version", reason: "FOREIGN_DATA")
        default: return (word, Array(values.dropFirst()))
        }
    }

    /// The record at `key`, and what Redis's clock says.
    func record(_ key: String) async throws -> StoreRecord? {
        let replies = try await asking("store.read") {
            try await redis.pipeline([["TIME"], ["HGET", records, RedisArgument(key)]])
        }
        // The time is read first: what lives then is there.
        guard replies.count == 2, let clock = replies[0].array, clock.count == 2,
            let seconds = clock[0].integer, let microseconds = clock[1].integer
        else { throw refusal(replies.first, "store.read") }
        switch replies[1] {
        case .null: return nil
        case .bytes(let bytes):
            return try RedisStoreRecord.read(key, bytes, now: seconds * 1_000_000 + microseconds)
        default: throw refusal(replies[1], "store.read")
        }
    }

    /// What is known of the store, once some of what is over was taken out.
    func facts(_ operation: String) async throws -> RedisStoreFacts {
        let (_, values) = try await run(RedisStoreScripts.facts, operation, [], isIdempotent: true)
        guard let facts = RedisStoreFacts(values) else { throw misunderstood(operation) }
        return facts
    }

    /// Changes behind a place in the log, of keys that begin with `prefix`.
    func page(
        behind position: RedisStorePosition, prefix: String, count: Int
    ) async throws -> RedisStorePage {
        let (_, values) = try await run(
            RedisStoreScripts.page, "store.changes",
            [
                RedisArgument(position.nextID), RedisArgument(prefix), RedisArgument(count),
                RedisArgument(StoreWatchers.bufferBytesMax),
            ], isIdempotent: true)
        guard let facts = RedisStoreFacts(values), values.count == 7,
            let isLast = values[4].integer, let last = values[5].string,
            let found = values[6].array
        else { throw misunderstood("store.changes") }
        var page = RedisStorePage(facts: facts, entries: [], end: position, isLast: isLast != 0)
        if page.isLast {
            page.end = max(position, RedisStorePosition(behind: facts.revision))
        } else {
            guard let end = RedisStorePosition(id: last) else {
                throw misunderstood("store.changes")
            }
            page.end = end
        }
        for value in found { page.entries.append(try RedisStorePage.entry(value)) }
        return page
    }

    /// What Redis does when its memory is full; nil when it does not say.
    func evictionPolicy() async throws -> String? {
        let text = try await redis.send(["INFO", "memory"]).string ?? ""
        return text.split(whereSeparator: \.isNewline).lazy
            .map { $0.split(separator: ":", maxSplits: 1) }
            .first { $0.first == "maxmemory_policy" }?.last.map(String.init)
    }

    private func refusal(_ reply: RedisValue?, _ operation: String) -> MicroError {
        guard case .error(let text)? = reply else { return misunderstood(operation) }
        return RedisFailure.explain(text, operation, at: redis.describe())
    }

    func misunderstood(_ operation: String) -> MicroError {
        .internalError(operation, "\(redis.describe()): the answer of a script is not understood")
    }

    /// Errors are those of the store.
    private func asking<Value>(
        _ operation: String, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch var error as MicroError {
            if error.reason == RedisReason.closed { throw StoreRefusal.closed(operation) }
            error.id = operation
            throw error
        }
    }
}

extension RedisArgument {
    fileprivate var text: String { String(decoding: bytes, as: UTF8.self) }
}
