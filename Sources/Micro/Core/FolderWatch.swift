internal import CMicroCore
internal import Synchronization

/// Calls a closure on the control loop when something in a folder changed; coalesced.
///
/// It is a hint to look, not a promise: some file systems report nothing, and a simulation has no
/// such events, so whoever watches also polls. Ends with ``cancel()`` or with the object.
final class FolderWatch: Sendable {
    private let loop: EventLoop
    private let registration: Registration

    /// - Throws: ``MicroError``: `unimplemented` in a simulation, `notFound` without the folder.
    init(
        path: String, environment: Environment, onChange: @escaping @Sendable () -> Void
    ) async throws {
        let loop = environment.loops.control
        let registration = Registration(onChange)
        try await loop.run { try registration.start(on: loop, path: path) }
        self.loop = loop
        self.registration = registration
    }

    deinit { cancel() }

    /// Ends it; the closure is not called after the loop has got to this. Idempotent, any thread.
    func cancel() {
        let registration = registration
        loop.execute { registration.stop() }
    }

    fileprivate final class Registration: Sendable {
        private let watch = Mutex<CorePointer?>(nil)
        private let onChange: @Sendable () -> Void

        init(_ onChange: @escaping @Sendable () -> Void) { self.onChange = onChange }

        func start(on loop: EventLoop, path: String) throws {
            // The core's reference: given back by `stop`, which ends the calls.
            let context = Unmanaged.passRetained(self).toOpaque()
            var raw: OpaquePointer?
            let status = mcore_loop_watch_path(loop.raw, path, folderChanged, context, &raw)
            guard status >= 0, let raw else {
                Unmanaged<Registration>.fromOpaque(context).release()
                throw MicroError("watch", CoreStatus(raw: status).code, "watch \(path)")
            }
            watch.withLock { $0 = CorePointer(raw: raw) }
        }

        func stop() {
            guard let pointer = watch.withLock({ $0.take() }) else { return }
            mcore_loop_unwatch_path(pointer.raw)
            Unmanaged.passUnretained(self).release()
        }

        func changed() { onChange() }
    }
}

private let folderChanged: mcore_job = { context in
    guard let context else { return }
    Unmanaged<FolderWatch.Registration>.fromOpaque(context).takeUnretainedValue().changed()
}
