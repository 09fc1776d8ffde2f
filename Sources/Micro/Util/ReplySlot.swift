internal import Synchronization

/// Carries the handler's reply past the hooks, which don't see its type.
final class ReplySlot<Reply: Sendable>: Sendable {
    private let value = Mutex<Reply?>(nil)
    func set(_ reply: Reply) { value.withLock { $0 = reply } }
    func take() -> Reply? { value.withLock { $0.take() } }
}
