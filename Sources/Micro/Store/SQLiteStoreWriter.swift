internal import Logging
internal import Synchronization

/// What writes to the file of a ``SQLiteStore``: all the commits of a group in one transaction, so
/// that they share its wait for the disk. Blocking; one group at a time.
final class SQLiteStoreWriter: Sendable {
    typealias Answer = Result<StoreCommit, any Error>

    /// What came of a group.
    struct Outcome: Sendable {
        /// One for each batch.
        var answers: [Answer] = []
        /// Whether there is something new to see.
        var hasChanged = false
        /// When to look for records whose time is over; nil: there are none.
        var nextExpiry: EventLoopClock.Instant?
    }

    private struct State: ~Copyable {
        var connection: SQLiteStoreConnection
        /// How many transactions were committed.
        var transactions = 0
    }

    /// How many records one transaction takes out because their time is over.
    private static let expiredMax = 256
    /// How soon to look again for them when that went wrong.
    private static let reapAgain = Duration.seconds(1)

    private let place: SQLiteStorePlace
    private let limits: StoreLimits
    private let state: Mutex<State>

    init(_ place: SQLiteStorePlace, _ limits: StoreLimits) {
        self.place = place
        self.limits = limits
        self.state = Mutex(State(connection: SQLiteStoreConnection(place, isReadOnly: false)))
    }

    /// How many transactions there were: fewer than commits.
    var transactions: Int { state.withLock { $0.transactions } }

    func close() { state.withLock { $0.connection.close() } }

    /// Does the batches, each wholly or not at all.
    ///
    /// - Parameter isReaping: Take out records whose time is over, too.
    func write(_ batches: [StoreBatch], isReaping: Bool) -> Outcome {
        state.withLock { state in
            var outcome = Outcome()
            do {
                outcome = try write(batches, isReaping: isReaping, in: &state)
            } catch let error as SQLiteError where batches.count > 1 && error.concernsOne {
                // One of them is to blame: the others need not fail with it.
                for batch in batches {
                    let alone = writeAlone(batch, isReaping: false, in: &state)
                    outcome.answers += alone.answers
                    outcome.hasChanged = outcome.hasChanged || alone.hasChanged
                    outcome.nextExpiry = alone.nextExpiry ?? outcome.nextExpiry
                }
            } catch {
                outcome = failed(error, batches.count)
            }
            return outcome
        }
    }

    private func writeAlone(
        _ batch: StoreBatch, isReaping: Bool, in state: inout State
    ) -> Outcome {
        do {
            return try write([batch], isReaping: isReaping, in: &state)
        } catch {
            return failed(error, 1)
        }
    }

    private func failed(_ error: any Error, _ count: Int) -> Outcome {
        let error =
            switch error {
            case let error as SQLiteError: place.explain(error, "store.commit")
            default: MicroError(error, id: "store.commit")
            }
        var outcome = Outcome(answers: Array(repeating: .failure(error), count: count))
        if count == 0 {
            place.logger.debug(
                "records whose time is over were not taken out",
                metadata: ["path": "\(place.path)", "error": "\(error)"])
            outcome.nextExpiry = place.environment.clock.now.advanced(
                by: SQLiteStoreWriter.reapAgain)
        }
        return outcome
    }

    private func write(
        _ batches: [StoreBatch], isReaping: Bool, in state: inout State
    ) throws -> Outcome {
        var stage = Stage.looking
        do {
            let outcome = try state.connection.use { file in
                try write(batches, isReaping: isReaping, in: file, at: &stage)
            }
            if stage == .committed { state.transactions += 1 }
            return outcome
        } catch let error as SQLiteError where stage == .committing && error.isBroken {
            throw place.explain(error, "store.commit", wasCommitting: true)
        }
    }

    /// How far a transaction got.
    private enum Stage { case looking, changing, committing, committed }

    private func write(
        _ batches: [StoreBatch], isReaping: Bool, in file: StoreFile, at stage: inout Stage
    ) throws -> Outcome {
        let before = try file.facts()
        // Another process may have been faster.
        if batches.isEmpty, (before.nextExpiry ?? .max) > file.time(at: place.moment) {
            return Outcome(nextExpiry: instant(of: before.nextExpiry, in: file))
        }
        stage = .changing
        let moment = place.moment
        try file.begin(at: moment)
        let now = file.time(at: moment)
        let answers = try batches.map { batch -> Answer in
            let verdict = try file.apply(batch.operations(for: now))
            return Result { try verdict.commit(of: batch, limits) }
        }
        if isReaping { _ = try file.expire(max: SQLiteStoreWriter.expiredMax) }
        stage = .committing
        try file.commit()
        stage = .committed
        // What was committed stays so, whatever comes of this look.
        guard let after = try? file.facts() else {
            return Outcome(answers: answers, hasChanged: true)
        }
        return Outcome(
            answers: answers, hasChanged: after.revision != before.revision,
            nextExpiry: instant(of: after.nextExpiry, in: file))
    }

    private func instant(of expiry: Int64?, in file: StoreFile) -> EventLoopClock.Instant? {
        expiry.map { expiry in
            let now = place.environment.clock.now
            return now.advanced(by: .milliseconds(max(0, expiry - file.time(at: place.moment))))
        }
    }
}

extension SQLiteError {
    /// Whether what failed may have been the fault of one batch of many.
    fileprivate var concernsOne: Bool { !isBusy && !isBroken && !isCorrupt }
}

extension StoreBatch {
    /// As the engine takes them: checks first.
    fileprivate func operations(for now: Int64) -> [StoreFile.Operation] {
        checks.map { check in
            StoreFile.Operation(kind: .check, key: check.key, condition: .init(check.condition))
        }
            + operations.map { operation in
                var raw = StoreFile.Operation(
                    kind: .delete, key: operation.key, condition: .init(operation.condition),
                    fence: operation.fence ?? 0)
                guard case .write(let write) = operation else { return raw }
                raw.kind = .write
                raw.value = write.value
                raw.contentType = write.contentType
                raw.metadata = write.metadata.storedBytes
                raw.expiry = write.timeToLive.map { StoreFileTime.expiry(after: $0, from: now) }
                return raw
            }
    }

    /// The key of a check or an operation, counted as in ``operations(for:)``.
    fileprivate func key(at index: Int) -> (key: String, WriteCondition, fence: UInt64) {
        guard index >= checks.count else {
            return (checks[index].key, checks[index].condition, 0)
        }
        let operation = operations[index - checks.count]
        return (operation.key, operation.condition, operation.fence ?? 0)
    }
}

extension StoreFile.Operation.Condition {
    fileprivate init(_ condition: WriteCondition) {
        self =
            switch condition {
            case .any: .any
            case .absent: .absent
            case .version(let version): .version(version)
            }
    }
}

extension StoreFile.Verdict {
    /// What a batch came to, in the words of all stores.
    fileprivate func commit(
        of batch: StoreBatch, _ limits: StoreLimits
    ) throws(MicroError) -> StoreCommit {
        switch self {
        case .done(let revision, let deleted):
            return StoreCommit(revision: revision, deleted: deleted)
        case .conflict(let index, let found):
            let (key, condition, _) = batch.key(at: index)
            let version = found == 0 ? nil : found
            throw index < batch.checks.count
                ? StoreRefusal.checkConflict(key, condition, found: version)
                : StoreRefusal.conflict(key, condition, found: version)
        case .stale(let index, let found):
            let (key, _, fence) = batch.key(at: index)
            throw StoreRefusal.staleFence(key, fence, seen: found)
        case .fullOfEntries(let found):
            throw StoreRefusal.full(
                "\(found) records are there, and entries is \(limits.entries)")
        case .fullOfBytes(let found):
            throw StoreRefusal.full("\(found) bytes are there, and bytes is \(limits.bytes)")
        case .fullOfFences(let found):
            throw StoreRefusal.full(
                "\(found) keys have a token, and entries is \(limits.entries)")
        }
    }
}
