internal import CMicroCore

/// An object of each kind that a thread keeps for its next use.
enum ThreadSpare {
    /// The object, which is the caller's now; nil: there is none.
    static func take<Object: AnyObject>(
        _ kind: mcore_spare_kind, as type: Object.Type = Object.self
    ) -> Object? {
        mcore_spare_take(kind).map { Unmanaged<Object>.fromOpaque($0).takeRetainedValue() }
    }

    /// Keeps the object, unless the thread has one already.
    static func keep(_ object: AnyObject, as kind: mcore_spare_kind) {
        mcore_spare_give(kind, Unmanaged.passRetained(object).toOpaque()) {
            if let object = $0 { Unmanaged<AnyObject>.fromOpaque(object).release() }
        }
    }

    /// How much memory an object that is kept may hold on to: enough for most messages, little
    /// enough for a thread.
    static let keptBytes = 256 << 10
}
