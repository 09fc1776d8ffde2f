/// Keeps records under keys: read, conditional write, list, watch, all-or-nothing batches.
///
/// These requirements are byte-based, for who implements a store; the typed forms (`read`, `write`,
/// `table`, `transaction`, …) are extension methods on top of them.
///
/// Duties of an implementation, which `StoreConformance` of MicroTesting checks:
/// - Keys are compared and sorted by their UTF-8, byte by byte.
/// - Every commit that changes something has a revision greater than all before; the version of a
///   record is the revision that wrote it.
/// - A commit happens as a whole or not at all, and nobody sees a part of it.
/// - A record whose time to live is over is not seen any more, by nobody and nowhere, and doesn't
///   count in a page.
/// - The highest fencing token of a key outlives the record.
public protocol Store: Sendable {
    /// The kind of store, for logs: "memory", "sqlite".
    var name: String { get }

    /// Where its time, tasks and randomness come from.
    var environment: Environment { get }

    /// What the typed forms encode and decode with.
    var codecs: Codecs { get }

    /// The record at `key`; nil when there is none.
    ///
    /// - Throws: ``MicroError``: `invalidArgument` (key), `unavailable` (closed).
    func record(_ key: String) async throws -> StoreRecord?

    /// Does all of a batch, or nothing.
    ///
    /// - Throws: ``MicroError``: `conflict` (a condition doesn't hold; reason `READ_CONFLICT` for
    ///   one of ``StoreBatch/checks`` and `VERSION_CONFLICT` for one of an operation; `metadata`
    ///   has "key" and the "version" found, 0 for none), `failedPrecondition` with reason
    ///   `STALE_FENCE` (a newer token was seen; `metadata` has "key" and "fence"),
    ///   `invalidArgument`, `resourceExhausted` (a limit of the store; the detail names it),
    ///   `payloadTooLarge`, `unavailable` (closed).
    @discardableResult
    func commit(_ batch: StoreBatch) async throws -> StoreCommit

    /// The keys that a query asks for, in order, and where to go on.
    ///
    /// - Throws: ``MicroError``: `invalidArgument` (limit), `unavailable` (closed).
    func list(_ query: StoreQuery) async throws -> StorePage

    /// Watches keys.
    ///
    /// - Parameters:
    ///   - prefix: What the keys begin with; "" for all.
    ///   - revision: Begin with the changes of this revision; nil: with what is committed after
    ///     this call has returned.
    /// - Throws: ``MicroError``: `outOfRange` with reason `CHANGES_COMPACTED` (the store doesn't
    ///   remember so far back: list, and watch from now), `unavailable` (closed).
    func changes(prefix: String, from revision: UInt64?) async throws -> StoreChanges

    /// Closes the store: everything else fails from then on, and watches end. Idempotent.
    func close() async
}
