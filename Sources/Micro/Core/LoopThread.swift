#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A thread of the operating system that runs one body.
package struct LoopThread: Sendable {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private let handle: Handle

    private struct Handle: @unchecked Sendable {  // a number that is only passed on
        let raw: pthread_t
    }

    /// Starts it. Signals stay with the other threads of the process.
    package init(named name: String, _ body: @escaping @Sendable () -> Void) throws(MicroError) {
        var all = sigset_t()
        var previous = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }

        let box = Unmanaged.passRetained(Body(body))
        #if canImport(Darwin)
            var thread: pthread_t?
        #else
            var thread = pthread_t()
        #endif
        let failure = pthread_create(&thread, nil, LoopThread.runThreadBody, box.toOpaque())
        guard failure == 0 else {
            box.release()
            throw MicroError(
                "loop", .resourceExhausted,
                "start thread \(name): \(String(cString: strerror(failure)))")
        }
        #if canImport(Darwin)
            guard let thread else { throw MicroError("loop", .internal, "no thread") }
        #endif
        handle = Handle(raw: thread)
    }

    /// Waits for the end of the body; called on the thread itself, it lets the thread go instead.
    func join() {
        if pthread_equal(handle.raw, pthread_self()) != 0 {
            pthread_detach(handle.raw)
        } else {
            pthread_join(handle.raw, nil)
        }
    }

    /// Nobody waits for it; the system takes it back when the body ends.
    package func detach() { pthread_detach(handle.raw) }

    #if canImport(Darwin)
        private typealias Entry =
            @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer?
    #else
        private typealias Entry =
            @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    #endif

    private static let runThreadBody: Entry = { arg in
        let opaque: UnsafeMutableRawPointer? = arg
        guard let opaque else { return nil }
        Unmanaged<Body>.fromOpaque(opaque).takeRetainedValue().run()
        return nil
    }
}
