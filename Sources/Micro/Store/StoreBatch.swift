/// Changes that happen together or not at all.
public struct StoreBatch: Sendable, Hashable {
    /// What must hold of a key for the batch to happen, without changing it.
    public struct Check: Sendable, Hashable {
        /// The key.
        public var key: String

        /// The condition.
        public var condition: WriteCondition

        /// Makes a check.
        public init(key: String, condition: WriteCondition) {
            self.key = key
            self.condition = condition
        }
    }

    /// One record to write.
    public struct Write: Sendable, Hashable {
        /// The key.
        public var key: String

        /// The bytes.
        public var value: [UInt8]

        /// What the bytes are: "application/json".
        public var contentType: String

        /// What is written along.
        public var metadata: Metadata

        /// How long the record lives; nil: for ever. More than zero.
        public var timeToLive: Duration?

        /// What must hold of the record that is there.
        public var condition: WriteCondition

        /// The token of the lease under which it is written; see ``Lease/token``.
        public var fence: UInt64?

        /// Makes a write.
        public init(
            key: String, value: [UInt8], contentType: String = "", metadata: Metadata = [:],
            timeToLive: Duration? = nil, condition: WriteCondition = .any, fence: UInt64? = nil
        ) {
            self.key = key
            self.value = value
            self.contentType = contentType
            self.metadata = metadata
            self.timeToLive = timeToLive
            self.condition = condition
            self.fence = fence
        }
    }

    /// One record to delete. That there is none is no error, unless the condition says so.
    public struct Deletion: Sendable, Hashable {
        /// The key.
        public var key: String

        /// What must hold of the record that is there.
        public var condition: WriteCondition

        /// The token of the lease under which it is deleted; see ``Lease/token``.
        public var fence: UInt64?

        /// Makes a deletion.
        public init(key: String, condition: WriteCondition = .any, fence: UInt64? = nil) {
            self.key = key
            self.condition = condition
            self.fence = fence
        }
    }

    /// One change.
    public enum Operation: Sendable, Hashable {
        /// Writes a record.
        case write(Write)
        /// Deletes a record.
        case delete(Deletion)
    }

    /// Looked at first.
    public var checks: [Check]

    /// The changes. Each key at most once.
    public var operations: [Operation]

    /// Makes a batch.
    public init(checks: [Check] = [], operations: [Operation] = []) {
        self.checks = checks
        self.operations = operations
    }
}

extension StoreBatch.Operation {
    /// The key that it changes.
    public var key: String {
        get {
            switch self {
            case .write(let write): write.key
            case .delete(let deletion): deletion.key
            }
        }
        set {
            switch self {
            case .write(var write):
                write.key = newValue
                self = .write(write)
            case .delete(var deletion):
                deletion.key = newValue
                self = .delete(deletion)
            }
        }
    }

    /// What must hold of the record that is there.
    public var condition: WriteCondition {
        switch self {
        case .write(let write): write.condition
        case .delete(let deletion): deletion.condition
        }
    }

    /// The token of the lease under which it is done.
    public var fence: UInt64? {
        switch self {
        case .write(let write): write.fence
        case .delete(let deletion): deletion.fence
        }
    }
}
