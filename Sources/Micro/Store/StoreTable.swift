/// A part of a store with keys of its own: those that begin with its name and a slash.
///
/// It has the same calls as the store, and tables in it. `table("a")` never sees the keys of
/// `table("ab")`.
public struct StoreTable: Store {
    /// What is between the name of a table and a key.
    public static let separator = "/"

    private let base: any Store
    private let prefix: String
    private let fault: MicroError?

    init(_ table: String, in base: any Store) {
        if let outer = base as? StoreTable {
            self.base = outer.base
            self.prefix = outer.prefix + table + StoreTable.separator
            self.fault = outer.fault ?? StoreTable.fault(in: table)
        } else {
            self.base = base
            self.prefix = table + StoreTable.separator
            self.fault = StoreTable.fault(in: table)
        }
    }

    /// The kind of the store.
    public var name: String { base.name }

    /// That of the store.
    public var environment: Environment { base.environment }

    /// Those of the store.
    public var codecs: Codecs { base.codecs }

    /// The record at `key` of this table. See ``Store``.
    public func record(_ key: String) async throws -> StoreRecord? {
        guard var record = try await base.record(outer(key)) else { return nil }
        record.key = key
        return record
    }

    /// Does all of a batch in this table, or nothing. See ``Store``.
    @discardableResult
    public func commit(_ batch: StoreBatch) async throws -> StoreCommit {
        var batch = batch
        for index in batch.checks.indices {
            batch.checks[index].key = try outer(batch.checks[index].key)
        }
        for index in batch.operations.indices {
            batch.operations[index].key = try outer(batch.operations[index].key)
        }
        return try await base.commit(batch)
    }

    /// Lists keys of this table. See ``Store``.
    public func list(_ query: StoreQuery) async throws -> StorePage {
        if let fault { throw fault }
        var query = query
        query.prefix = prefix + query.prefix
        query.after = query.after.map { prefix + $0 }
        let page = try await base.list(query)
        return StorePage(keys: page.keys.map(inner), next: page.next.map(inner))
    }

    /// Watches keys of this table. See ``Store``.
    public func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges {
        if let fault { throw fault }
        let changes = try await base.changes(prefix: self.prefix + prefix, from: revision)
        return StoreChanges(source: Source(changes: changes, table: self))
    }

    /// Closes the whole store.
    public func close() async { await base.close() }

    private func outer(_ key: String) throws(MicroError) -> String {
        if let fault { throw fault }
        guard !key.isEmpty else { throw StoreLimits.emptyKey }
        return prefix + key
    }

    fileprivate func inner(_ key: String) -> String {
        // Not by characters: a combining one may follow the separator.
        String(key.utf8.dropFirst(prefix.utf8.count)) ?? key
    }

    static func fault(in table: String) -> MicroError? {
        let parts = table.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.contains(where: \.isEmpty) else { return nil }
        return .invalid(
            "store.table", "the table's name \"\(table)\" is empty or has an empty part",
            at: "table")
    }

    private struct Source: StoreChangeSource {
        let changes: StoreChanges
        let table: StoreTable

        func next() async throws -> StoreChange? {
            guard var change = try await changes.next() else { return nil }
            change.key = table.inner(change.key)
            if case .written(var record) = change.kind {
                record.key = change.key
                change.kind = .written(record)
            }
            return change
        }

        // The inner watch ends with its last copy, which is here.
        func abandon() {}
    }
}
