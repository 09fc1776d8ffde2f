internal import CMicroCore
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Signals of the operating system, delivered on a loop instead of their default action.
final class SignalWatch: Sendable {
    static let terminate = SIGTERM
    static let interrupt = SIGINT

    private final class Box: Sendable {
        let body: @Sendable (Int32) -> Void
        init(_ body: @escaping @Sendable (Int32) -> Void) { self.body = body }
    }

    private let loop: EventLoop
    private let box: Unmanaged<Box>
    private let watches = Mutex<[CorePointer]>([])

    /// Calls `body` on `loop` for each of `signals`, until ``stop()``.
    static func start(
        _ signals: [Int32], on loop: EventLoop, _ body: @escaping @Sendable (Int32) -> Void
    ) async throws -> SignalWatch {
        let watch = SignalWatch(loop: loop, body)
        do {
            try await loop.run { for signal in signals { try watch.add(signal) } }
        } catch {
            await watch.stop()
            throw error
        }
        return watch
    }

    private init(loop: EventLoop, _ body: @escaping @Sendable (Int32) -> Void) {
        self.loop = loop
        self.box = Unmanaged.passRetained(Box(body))
    }

    private func add(_ signal: Int32) throws {
        var created: OpaquePointer?
        let status = mcore_loop_watch_signal(
            loop.raw, signal,
            { box, signal in
                guard let box else { return }
                Unmanaged<Box>.fromOpaque(box).takeUnretainedValue().body(signal)
            }, box.toOpaque(), &created)
        try check(status, "signals", "watch the signal \(signal)")
        if let created { watches.withLock { $0.append(CorePointer(raw: created)) } }
    }

    /// Gives the signals their default action again. Once.
    func stop() async {
        _ = try? await loop.run {
            let watches = self.watches.withLock { watches in
                defer { watches = [] }
                return watches
            }
            for watch in watches { mcore_loop_unwatch_signal(watch.raw) }
            self.box.release()
        }
    }

    /// Ends the process at once, as an unhandled signal would.
    static func exitProcess(because signal: Int32) -> Never { _exit(128 &+ signal) }
}
