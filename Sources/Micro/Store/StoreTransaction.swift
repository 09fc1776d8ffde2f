internal import Synchronization

/// The changes of one run of ``Store/transaction(attempts:_:)``: nothing of them is in the store
/// before the end.
///
/// Reads are remembered, and checked when it is committed. Two reads may see different states; then
/// the commit fails, and the body runs again. Not to be used after the body has returned.
public struct StoreTransaction: Sendable {
    /// Of the error that makes the body run again.
    static let conflictReason = "READ_CONFLICT"

    private struct State {
        var reads: [ExactKey: UInt64?] = [:]
        /// In the order of the first reads: the checks must not depend on hashing.
        var readOrder: [ExactKey] = []
        var writes: [ExactKey: StoreBatch.Operation] = [:]
        var writeOrder: [ExactKey] = []
        var isEnded = false
    }

    private final class Shared: Sendable {
        let state = Mutex(State())
    }

    private let store: any Store
    private let prefix: String
    private let fault: MicroError?
    private let shared: Shared

    init(store: any Store) {
        self.store = store
        self.prefix = ""
        self.fault = nil
        self.shared = Shared()
    }

    private init(_ table: String, in outer: StoreTransaction) {
        self.store = outer.store
        self.prefix = outer.prefix + table + StoreTable.separator
        self.fault = outer.fault ?? StoreTable.fault(in: table)
        self.shared = outer.shared
    }

    /// The same transaction, with the keys of a table.
    public func table(_ name: String) -> StoreTransaction { StoreTransaction(name, in: self) }

    /// The value at `key`; nil when there is none.
    ///
    /// - Throws: ``MicroError``: as ``Store/read(_:as:)``; `conflict` when the key has changed
    ///   since this transaction read it: let it pass, and the body runs again.
    public func read<Value: Decodable & Sendable>(
        _ key: String, as type: Value.Type = Value.self
    ) async throws -> Value? {
        try await read(key, reading: CodableCoding<Value>(store.codecs))
    }

    /// The value at `key` with version, time to live and metadata; nil when there is none.
    ///
    /// - Throws: As ``read(_:as:)``.
    public func record<Value: Decodable & Sendable>(
        _ key: String, as type: Value.Type
    ) async throws -> StoredValue<Value>? {
        try await record(key, reading: CodableCoding<Value>(store.codecs))
    }

    /// The value at `key`, read by `reader`. As the `read` of `Codable` types.
    public func read<Reader: MessageReading>(
        _ key: String, reading reader: Reader
    ) async throws -> Reader.Message? {
        try await record(key, reading: reader)?.value
    }

    /// The value at `key` with what is known about it, read by `reader`. As the `record` of
    /// `Codable` types.
    public func record<Reader: MessageReading>(
        _ key: String, reading reader: Reader
    ) async throws -> StoredValue<Reader.Message>? {
        let outer = try self.outer(key)
        if let own = try shared.state.withLock({ try StoreTransaction.own(outer, in: $0) }) {
            guard case .write(let write) = own else { return nil }
            let record = StoreRecord(
                key: key, value: write.value, contentType: write.contentType,
                metadata: write.metadata, version: 0, timeToLive: write.timeToLive)
            return try record.read(with: reader)
        }
        var record = try await store.record(outer.string)
        try remember(outer, version: record?.version)
        record?.key = key
        return try record?.read(with: reader)
    }

    /// Writes a value when the transaction is committed.
    ///
    /// The condition is looked at then; when it doesn't hold, the whole transaction throws
    /// `conflict` and does not run again. See ``Store/write(_:at:ttl:if:fencedBy:metadata:)``.
    /// - Throws: ``MicroError``: what the codec throws; `invalidArgument` for an empty key.
    public func write<Value: Encodable & Sendable>(
        _ value: Value, at key: String, ttl: Duration? = nil, if condition: WriteCondition = .any,
        fencedBy fence: UInt64? = nil, metadata: Metadata = [:]
    ) async throws {
        try await write(
            value, writing: CodableCoding(store.codecs), at: key, ttl: ttl, if: condition,
            fencedBy: fence, metadata: metadata)
    }

    /// Writes a value, written by `writer`, when the transaction is committed. As the `write` of
    /// `Codable` types.
    public func write<Writer: MessageWriting>(
        _ value: Writer.Message, writing writer: Writer, at key: String, ttl: Duration? = nil,
        if condition: WriteCondition = .any, fencedBy fence: UInt64? = nil, metadata: Metadata = [:]
    ) async throws {
        let outer = try self.outer(key)
        let write = try StoreBatch.Write(
            value, writing: writer, at: outer.string, ttl: ttl, if: condition, fencedBy: fence,
            metadata: metadata)
        try stage(.write(write), at: outer)
    }

    /// Deletes the record at `key` when the transaction is committed. See
    /// ``write(_:at:ttl:if:fencedBy:metadata:)``.
    public func delete(
        _ key: String, if condition: WriteCondition = .any, fencedBy fence: UInt64? = nil
    ) async throws {
        let outer = try self.outer(key)
        try stage(
            .delete(StoreBatch.Deletion(key: outer.string, condition: condition, fence: fence)),
            at: outer)
    }

    func commit() async throws {
        let batch = shared.state.withLock { state in
            state.isEnded = true
            return StoreBatch(
                checks: state.readOrder.map { key in
                    let version = state.reads[key] ?? nil
                    return StoreBatch.Check(
                        key: key.string, condition: version.map { .version($0) } ?? .absent)
                },
                operations: state.writeOrder.compactMap { state.writes[$0] })
        }
        if batch.checks.isEmpty, batch.operations.isEmpty { return }
        try await store.commit(batch)
    }

    private func outer(_ key: String) throws(MicroError) -> ExactKey {
        if let fault { throw fault }
        guard !key.isEmpty else { throw StoreLimits.emptyKey }
        return ExactKey(prefix + key)
    }

    private static func own(
        _ key: ExactKey, in state: State
    ) throws(MicroError) -> StoreBatch.Operation? {
        try checkOpen(state)
        return state.writes[key]
    }

    private static func checkOpen(_ state: State) throws(MicroError) {
        guard state.isEnded else { return }
        throw .failedPrecondition(
            "store.transaction", "the transaction is over: use it only in its body")
    }

    private func remember(_ key: ExactKey, version: UInt64?) throws(MicroError) {
        try shared.state.withLock { state throws(MicroError) in
            guard let before = state.reads[key] else {
                state.reads[key] = .some(version)
                state.readOrder.append(key)
                return
            }
            guard before != version else { return }
            throw .conflict(
                "store.transaction", "\"\(key.string)\" has changed since it was read",
                reason: StoreTransaction.conflictReason,
                metadata: ["key": key.string, "version": String(version ?? 0)])
        }
    }

    /// A later change of a key takes the place of an earlier one, but for its condition: that still
    /// speaks of what was there before the transaction.
    private func stage(_ operation: StoreBatch.Operation, at key: ExactKey) throws(MicroError) {
        try shared.state.withLock { state throws(MicroError) in
            try StoreTransaction.checkOpen(state)
            guard let earlier = state.writes[key] else {
                state.writes[key] = operation
                state.writeOrder.append(key)
                return
            }
            guard operation.condition == .any else {
                throw .invalid(
                    "store.transaction",
                    "\"\(key.string)\" is changed twice, and the second change has a condition: give "
                        + "the first one the condition",
                    at: "if")
            }
            state.writes[key] = operation.replacing(earlier)
        }
    }
}

extension StoreBatch.Operation {
    /// This operation, with the condition and at least the token of an earlier one on the same key.
    fileprivate func replacing(_ earlier: StoreBatch.Operation) -> StoreBatch.Operation {
        let fences = [fence, earlier.fence].compactMap { $0 }
        switch self {
        case .write(var write):
            write.condition = earlier.condition
            write.fence = fences.max()
            return .write(write)
        case .delete(var deletion):
            deletion.condition = earlier.condition
            deletion.fence = fences.max()
            return .delete(deletion)
        }
    }
}
