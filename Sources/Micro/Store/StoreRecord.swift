/// What a store keeps under a key.
public struct StoreRecord: Sendable, Hashable {
    /// The key.
    public var key: String

    /// The bytes.
    public var value: [UInt8]

    /// What the bytes are: "application/json". Empty: unknown.
    public var contentType: String

    /// What was written along with the value.
    public var metadata: Metadata

    /// The revision of the commit that wrote it: greater than that of every commit before.
    public var version: UInt64

    /// How long the record will still be there, from the moment when it was read; nil: for ever.
    public var timeToLive: Duration?

    /// Makes a record: for those who implement ``Store``.
    public init(
        key: String, value: [UInt8], contentType: String = "", metadata: Metadata = [:],
        version: UInt64, timeToLive: Duration? = nil
    ) {
        self.key = key
        self.value = value
        self.contentType = contentType
        self.metadata = metadata
        self.version = version
        self.timeToLive = timeToLive
    }
}
