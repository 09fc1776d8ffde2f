internal import Synchronization

/// Refers to an object without keeping it alive, for callbacks that are made before the object is.
package final class WeakReference<Object: AnyObject & Sendable>: Sendable {
    private struct Box {
        weak var object: Object?
    }

    private let box = Mutex(Box())

    /// A reference to nothing.
    package init() {}

    package var object: Object? {
        get { box.withLock { $0.object } }
        set { box.withLock { $0.object = newValue } }
    }
}
