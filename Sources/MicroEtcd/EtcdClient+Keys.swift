internal import Micro

extension EtcdClient {
    /// Reads keys, in their order.
    ///
    /// - Parameters:
    ///   - limit: How many at most; 0: as many as fit into an answer.
    ///   - revision: As they were then; 0: as they are now.
    ///   - isSerializable: From what the member knows, without asking the others: it may be behind.
    /// - Throws: ``MicroError``; ``EtcdReason/compacted`` for a revision that is not kept any more.
    public func get(
        _ range: EtcdKeyRange, limit: Int64 = 0, revision: Int64 = 0, keysOnly: Bool = false,
        isSerializable: Bool = false
    ) async throws -> EtcdRangeAnswer {
        var request = Etcdserverpb_RangeRequest(range, under: prefix)
        request.limit = limit
        request.revision = revision
        request.keysOnly = keysOnly
        request.serializable = isSerializable
        let answer = try await ask("etcd.get", keys.range, request, isRead: true)
        return EtcdRangeAnswer(
            header: EtcdHeader(answer.header),
            keyValues: answer.kvs.map { EtcdKeyValue($0, prefixBytes: prefix.count) },
            hasMore: answer.more, count: answer.count)
    }

    /// Reads a key; nil when it does not exist.
    ///
    /// - Throws: ``MicroError``.
    public func get(_ key: String) async throws -> EtcdKeyValue? {
        try await get(.key(key)).keyValues.first
    }

    /// Writes a key.
    ///
    /// - Parameter lease: What it ends with; 0: nothing.
    /// - Returns: Which etcd has answered, with the revision that this made.
    /// - Throws: ``MicroError``; ``EtcdReason/leaseNotFound``.
    @discardableResult
    public func put(_ key: String, _ value: [UInt8], lease: Int64 = 0) async throws -> EtcdHeader {
        let request = Etcdserverpb_PutRequest(key, value, lease: lease, under: prefix)
        return EtcdHeader(try await ask("etcd.put", keys.put, request).header)
    }

    /// Deletes keys.
    ///
    /// - Returns: How many there were.
    /// - Throws: ``MicroError``.
    @discardableResult
    public func delete(_ range: EtcdKeyRange) async throws -> Int64 {
        let request = Etcdserverpb_DeleteRangeRequest(range, under: prefix)
        return try await ask("etcd.delete", keys.deleteRange, request).deleted
    }

    /// Does `then` when all of `conditions` are true, else `otherwise`, in one step.
    ///
    /// - Returns: Which of them was done, and what came of it.
    /// - Throws: ``MicroError``; ``EtcdReason/leaseNotFound``.
    public func transaction(
        if conditions: [EtcdComparison], then: [EtcdOperation], otherwise: [EtcdOperation] = []
    ) async throws -> EtcdTransactionAnswer {
        var request = Etcdserverpb_TxnRequest()
        request.compare = conditions.map { Etcdserverpb_Compare($0, under: prefix) }
        request.success = then.map { Etcdserverpb_RequestOp($0, under: prefix) }
        request.failure = otherwise.map { Etcdserverpb_RequestOp($0, under: prefix) }
        let answer = try await ask("etcd.transaction", keys.txn, request)
        return EtcdTransactionAnswer(
            header: EtcdHeader(answer.header), isSuccessful: answer.succeeded,
            results: answer.responses.compactMap {
                EtcdOperationResult($0, prefixBytes: prefix.count)
            })
    }
}
