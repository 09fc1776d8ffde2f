extension Store {
    /// A part of this store with keys of its own. A name with an empty part is refused by the calls
    /// of the table.
    public func table(_ name: String) -> StoreTable { StoreTable(name, in: self) }

    /// Writes a value.
    ///
    /// - Parameters:
    ///   - value: The value; it is encoded by the codec that fits its type.
    ///   - key: Where.
    ///   - ttl: How long it lives; nil: for ever.
    ///   - condition: What must hold of the record that is there.
    ///   - fence: The ``Lease/token`` of the lease under which it is written: an older one than the
    ///     store has seen for the key is refused.
    ///   - metadata: What is written along.
    /// - Returns: The version of the record.
    /// - Throws: ``MicroError``: as ``commit(_:)``: `conflict` when the condition doesn't hold,
    ///   `failedPrecondition` when the token is old.
    @discardableResult
    public func write<Value: Encodable & Sendable>(
        _ value: Value, at key: String, ttl: Duration? = nil, if condition: WriteCondition = .any,
        fencedBy fence: UInt64? = nil, metadata: Metadata = [:]
    ) async throws -> UInt64 {
        try await write(
            value, writing: CodableCoding(codecs), at: key, ttl: ttl, if: condition,
            fencedBy: fence, metadata: metadata)
    }

    /// The value at `key`; nil when there is none.
    ///
    /// - Throws: ``MicroError``: as ``record(_:)``, and `dataLoss` when what is there can't be
    ///   decoded as a `Value`.
    public func read<Value: Decodable & Sendable>(
        _ key: String, as type: Value.Type = Value.self
    ) async throws -> Value? {
        try await read(key, reading: CodableCoding<Value>(codecs))
    }

    /// The value at `key` with version, time to live and metadata; nil when there is none.
    ///
    /// - Throws: ``MicroError``: as ``read(_:as:)``.
    public func record<Value: Decodable & Sendable>(
        _ key: String, as type: Value.Type
    ) async throws -> StoredValue<Value>? {
        try await record(key, reading: CodableCoding<Value>(codecs))
    }

    /// Whether there is a record at `key`.
    public func exists(_ key: String) async throws -> Bool { try await record(key) != nil }

    /// Deletes the record at `key`.
    ///
    /// - Returns: Whether there was one.
    /// - Throws: ``MicroError``: as ``write(_:at:ttl:if:fencedBy:metadata:)``.
    @discardableResult
    public func delete(
        _ key: String, if condition: WriteCondition = .any, fencedBy fence: UInt64? = nil
    ) async throws -> Bool {
        let deletion = StoreBatch.Deletion(key: key, condition: condition, fence: fence)
        return try await commit(StoreBatch(operations: [.delete(deletion)])).deleted > 0
    }

    /// Keys in order, fetched page by page.
    ///
    /// - Parameters:
    ///   - prefix: What they begin with.
    ///   - suffix: What they end with.
    ///   - limit: How many at most; nil: all.
    ///   - after: Only keys after this one.
    public func keys(
        prefix: String = "", suffix: String = "", limit: Int? = nil, after: String? = nil
    ) -> StoreKeys {
        StoreKeys(
            store: self, query: StoreQuery(prefix: prefix, suffix: suffix, after: after),
            limit: limit)
    }

    /// Watches the values of keys.
    ///
    /// - Parameters:
    ///   - prefix: What the keys begin with; "" for all.
    ///   - revision: Begin with the changes of this revision; nil: with what is committed after
    ///     this call has returned. To go on after a break, give the last one seen: its changes come
    ///     again.
    /// - Throws: ``MicroError``: as ``changes(prefix:from:)-(String,UInt64?)``.
    public func changes<Value: Decodable & Sendable>(
        prefix: String = "", from revision: UInt64? = nil, as type: Value.Type
    ) async throws -> StoreValueChanges<Value> {
        try await changes(
            prefix: prefix, from: revision, reading: CodableCoding<Value>(codecs))
    }

    /// Watches all keys from now on.
    public func changes() async throws -> StoreChanges { try await changes(prefix: "", from: nil) }

    /// Runs `body`, and commits what it wrote if nobody else has changed what it read: all or
    /// nothing.
    ///
    /// What `body` writes is seen by itself at once, and by others when it is committed. When
    /// somebody else was faster, `body` runs again, after a short random wait: it must not have
    /// effects beside the transaction. When `body` throws, nothing is written.
    /// - Parameters:
    ///   - attempts: How often `body` runs at most. Default 10.
    ///   - body: What to do.
    /// - Throws: What `body` throws. ``MicroError``: `aborted` when all attempts were in vain; as
    ///   ``commit(_:)`` for the conditions of its writes.
    @discardableResult
    public func transaction<T: Sendable>(
        attempts: Int = 10, _ body: (StoreTransaction) async throws -> T
    ) async throws -> T {
        var attempt = 1
        while true {
            let transaction = StoreTransaction(store: self)
            do {
                let result = try await body(transaction)
                try await transaction.commit()
                return result
            } catch let error as MicroError where error.reason == StoreTransaction.conflictReason {
                guard attempt < attempts else {
                    throw MicroError.aborted(
                        "store.transaction",
                        "others changed what it read, \(attempt) times: \(error.detail)",
                        reason: "TRANSACTION_CONFLICT", metadata: error.metadata)
                }
            }
            let bound = UInt64(1) << UInt64(min(attempt, 7))  // 2 to 128 ms
            let wait = Duration.milliseconds(Int64(environment.random() % bound))
            try await environment.clock.sleep(for: wait)
            attempt += 1
        }
    }
}

// MARK: Values written and read in the caller's own way

extension Store {
    /// Writes a value, written by `writer`. As the `write` of `Codable` types.
    @discardableResult
    public func write<Writer: MessageWriting>(
        _ value: Writer.Message, writing writer: Writer, at key: String, ttl: Duration? = nil,
        if condition: WriteCondition = .any, fencedBy fence: UInt64? = nil, metadata: Metadata = [:]
    ) async throws -> UInt64 {
        let write = try StoreBatch.Write(
            value, writing: writer, at: key, ttl: ttl, if: condition, fencedBy: fence,
            metadata: metadata)
        return try await commit(StoreBatch(operations: [.write(write)])).revision
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
        try await record(key)?.read(with: reader)
    }

    /// Watches the values of keys, read by `reader`. As the `changes` of `Codable` types.
    public func changes<Reader: MessageReading>(
        prefix: String = "", from revision: UInt64? = nil, reading reader: Reader
    ) async throws -> StoreValueChanges<Reader.Message> {
        StoreValueChanges(
            changes: try await changes(prefix: prefix, from: revision), reading: reader)
    }
}

extension StoreBatch.Write {
    init<Writer: MessageWriting>(
        _ value: Writer.Message, writing writer: Writer, at key: String, ttl: Duration?,
        if condition: WriteCondition, fencedBy fence: UInt64?, metadata: Metadata
    ) throws {
        let form = try writer.writtenForm(for: "")
        self.init(
            key: key, value: try writer.write(value, as: form),
            contentType: form.contentType.description, metadata: metadata, timeToLive: ttl,
            condition: condition, fence: fence)
    }
}

extension StoreRecord {
    /// The value in the record.
    func read<Reader: MessageReading>(
        with reader: Reader
    ) throws -> StoredValue<Reader.Message> {
        do {
            let form = try reader.readForm(for: contentType)
            return StoredValue(
                key: key, value: try reader.read(value.span.bytes, as: form),
                version: version, timeToLive: timeToLive, metadata: metadata)
        } catch let error as MicroError {
            throw MicroError.dataLoss(
                "store.read",
                "\"\(key)\" cannot be read as a \(Reader.Message.self): \(error.detail)",
                reason: "UNDECODABLE_RECORD", metadata: ["key": key])
        }
    }
}
