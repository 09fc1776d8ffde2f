/// A value with what the store knows about it.
public struct StoredValue<Value: Sendable>: Sendable {
    /// The key.
    public var key: String

    /// The value.
    public var value: Value

    /// The revision of the commit that wrote it, for ``WriteCondition/version(_:)``. In a
    /// transaction, 0 for what the transaction itself has written.
    public var version: UInt64

    /// How long it will still be there, from the moment when it was read; nil: for ever.
    public var timeToLive: Duration?

    /// What was written along with it.
    public var metadata: Metadata
}

extension StoredValue: Equatable where Value: Equatable {}
