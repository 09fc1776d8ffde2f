/// How much a call matters: a server to which more is offered than it can do refuses those first
/// that matter least. Calls made inside of a handler inherit the priority of its call.
///
/// It travels as the metadata `micro-priority`, and a caller says what it likes: what stands before
/// strangers should set it for them.
public enum CallPriority: String, Sendable, Hashable, CaseIterable {
    /// The last to be refused: logins, payments, what keeps a system alive.
    case critical
    /// What is not said to be anything else.
    case normal
    /// The first to be refused: prefetching, statistics, batches that come again.
    case sheddable

    static let header = "micro-priority"

    init(_ metadata: borrowing Metadata) {
        self = metadata[CallPriority.header].flatMap(CallPriority.init(rawValue:)) ?? .normal
    }
}

extension CallOptions {
    /// How much the call matters. Normal unless it is set, or inherited from the call around it.
    public var priority: CallPriority {
        get { CallPriority(metadata) }
        set { metadata[CallPriority.header] = newValue.rawValue }
    }
}

extension Context {
    /// How much the call matters to its caller.
    public var priority: CallPriority { CallPriority(metadata) }
}
