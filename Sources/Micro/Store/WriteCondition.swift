/// What must hold for a write or a deletion to happen.
public enum WriteCondition: Sendable, Hashable {
    /// Nothing: it happens in any case.
    case any

    /// There is no record.
    case absent

    /// The record has this version: nobody has changed it since.
    case version(UInt64)

    /// Whether it holds for a record of this version; nil: for no record.
    public func holds(for version: UInt64?) -> Bool {
        switch self {
        case .any: true
        case .absent: version == nil
        case .version(let wanted): version == wanted
        }
    }
}
