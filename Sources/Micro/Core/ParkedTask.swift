/// A task that waits to be gone on with: exactly once, by ``EventLoop/resumeHere(_:)`` or
/// ``resume()``.
struct ParkedTask: Sendable {
    let continuation: UnsafeContinuation<Void, Never>

    /// Parks the task that calls it. `body` gets it before it waits.
    static func park(_ body: (ParkedTask) -> Void) async {
        await withUnsafeContinuation { body(ParkedTask(continuation: $0)) }
    }

    /// Goes on with it on its executor.
    func resume() { continuation.resume() }
}
