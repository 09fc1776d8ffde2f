public import Micro
public import SwiftProtobuf

extension Store {
    /// Writes a protobuf message, in its binary form.
    ///
    /// - Parameters:
    ///   - value: The message.
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
    public func write<Value: SwiftProtobuf.Message>(
        _ value: Value, at key: String, ttl: Duration? = nil, if condition: WriteCondition = .any,
        fencedBy fence: UInt64? = nil, metadata: Metadata = [:]
    ) async throws -> UInt64 {
        try await write(
            value, writing: ProtobufCoding(), at: key, ttl: ttl, if: condition, fencedBy: fence,
            metadata: metadata)
    }

    /// The message at `key`; nil when there is none.
    ///
    /// - Throws: ``MicroError``: as ``record(_:)``, and `dataLoss` when there is something else.
    public func read<Value: SwiftProtobuf.Message>(
        _ key: String, as type: Value.Type = Value.self
    ) async throws -> Value? {
        try await read(key, reading: ProtobufCoding<Value>())
    }

    /// The message at `key` with version, time to live and metadata; nil when there is none.
    ///
    /// - Throws: ``MicroError``: as ``read(_:as:)``.
    public func record<Value: SwiftProtobuf.Message>(
        _ key: String, as type: Value.Type
    ) async throws -> StoredValue<Value>? {
        try await record(key, reading: ProtobufCoding<Value>())
    }

    /// Watches the messages at keys. See the `changes` of `Codable` types.
    public func changes<Value: SwiftProtobuf.Message>(
        prefix: String = "", from revision: UInt64? = nil, as type: Value.Type
    ) async throws -> StoreValueChanges<Value> {
        try await changes(prefix: prefix, from: revision, reading: ProtobufCoding<Value>())
    }
}

extension StoreTransaction {
    /// The message at `key`; nil when there is none. See the `read` of `Codable` types.
    public func read<Value: SwiftProtobuf.Message>(
        _ key: String, as type: Value.Type = Value.self
    ) async throws -> Value? {
        try await read(key, reading: ProtobufCoding<Value>())
    }

    /// The message at `key` with what is known about it. See the `record` of `Codable` types.
    public func record<Value: SwiftProtobuf.Message>(
        _ key: String, as type: Value.Type
    ) async throws -> StoredValue<Value>? {
        try await record(key, reading: ProtobufCoding<Value>())
    }

    /// Writes a message when the transaction is committed. See the `write` of `Codable` types.
    public func write<Value: SwiftProtobuf.Message>(
        _ value: Value, at key: String, ttl: Duration? = nil, if condition: WriteCondition = .any,
        fencedBy fence: UInt64? = nil, metadata: Metadata = [:]
    ) async throws {
        try await write(
            value, writing: ProtobufCoding(), at: key, ttl: ttl, if: condition, fencedBy: fence,
            metadata: metadata)
    }
}
