public import Logging
public import Micro
internal import Synchronization

/// A client of Redis 6 and later, on one connection that all tasks share.
///
/// It connects when it is first used, and again, with growing pauses, when the connection broke.
/// Commands go out as they come, without waiting for the answers of those before. A command that
/// could not be written is sent on the next connection; of one that was written and not answered
/// nobody knows whether it was done: it fails, `unavailable` with ``MicroError/wasWritten``, unless
/// it says that it may be repeated (``RedisCommand/isIdempotent``).
///
/// All calls throw ``MicroError``: what Redis says, with a ``RedisReason``; `unavailable` when it
/// can't be reached; `deadlineExceeded`; `resourceExhausted` when too many wait already. Safe to
/// use from any thread.
public final class RedisClient: Sendable {
    private enum Phase {
        /// Not connected, after so many failures; not to be tried before that instant.
        case idle(failures: Int, EventLoopClock.Instant?)
        case connecting(Latch<RedisWire>, SpawnedTask)
        case connected(RedisWire)
        case closed
    }

    let options: RedisOptions
    let environment: Environment
    private let dialer: ByteDialer
    private let logger: Logger
    private let phase = Mutex(Phase.idle(failures: 0, nil))

    /// A client that connects when it is first used.
    ///
    /// - Parameters:
    ///   - options: Where Redis is. What can't be used is thrown by the first call.
    ///   - environment: Its clock, its loops.
    public init(
        _ options: RedisOptions = RedisOptions(), environment: Environment = .current,
        logger: Logger = Logger(label: "micro.redis")
    ) {
        self.options = options
        self.environment = environment
        self.logger = logger
        var bytes = ByteConnectionOptions()
        bytes.connectTimeout = options.connectTimeout
        self.dialer = ByteDialer(
            options: bytes, tls: options.tls, transports: options.transports,
            environment: environment, logger: logger)
    }

    /// A client of what `url` names; see ``RedisOptions/init(url:)``.
    public convenience init(
        url: String, environment: Environment = .current,
        logger: Logger = Logger(label: "micro.redis")
    ) throws {
        self.init(try RedisOptions(url: url), environment: environment, logger: logger)
    }

    deinit { stop() }

    /// "redis at 10.0.0.1:6379".
    public func describe() -> String { options.place }

    /// Fails what waits, and closes the connection. Idempotent.
    public func close() async { stop() }

    private func stop() {
        let before = phase.withLock { phase in
            defer { phase = .closed }
            return phase
        }
        switch before {
        case .connected(let wire): wire.close()
        case .connecting(let latch, let task):
            latch.set(.failure(RedisFailure.closed(options.place)))
            task.cancel()
        case .idle, .closed: break
        }
        dialer.close()
    }

    // MARK: Commands

    /// Sends a command, and waits for its answer.
    ///
    /// - Throws: ``MicroError``; see the class. `CancellationError`: it may have been done.
    @discardableResult
    public func send(_ command: RedisCommand) async throws -> RedisValue {
        let replies = try await perform([command])
        return try RedisReplies.single(replies, command, at: options.place)
    }

    /// Sends commands together, and waits for all answers. One that fails does not stop the others,
    /// and other tasks' commands may come in between.
    ///
    /// - Returns: An answer for each; ``RedisValue/error(_:)`` for those that failed.
    public func pipeline(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        return try await perform(commands)
    }

    /// Does commands together, with no other in between: "MULTI" and "EXEC".
    ///
    /// - Returns: An answer for each; ``RedisValue/error(_:)`` for those that failed.
    /// - Throws: `aborted` with reason "EXECABORT" when one can't be done at all; then none was.
    public func transaction(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        var unit: [RedisCommand] = [["MULTI"]] + commands + [["EXEC"]]
        let isIdempotent = commands.allSatisfy(\.isIdempotent)
        for index in unit.indices { unit[index].isIdempotent = isIdempotent }
        let replies = try await perform(unit)
        return try RedisReplies.transaction(replies, at: options.place) ?? []
    }

    /// Runs a script, by its hash where the server knows it.
    ///
    /// - Parameters:
    ///   - keys: The keys that it uses.
    ///   - arguments: What it gets besides.
    ///   - isIdempotent: Whether running it twice is the same as running it once.
    public func evaluate(
        _ script: RedisScript, keys: [RedisArgument] = [], arguments: [RedisArgument] = [],
        isIdempotent: Bool = false
    ) async throws -> RedisValue {
        do {
            return try await send(script.command(.hash, keys, arguments, isIdempotent))
        } catch let error as MicroError where error.reason == RedisReason.noScript {
            return try await send(script.command(.text, keys, arguments, isIdempotent))
        }
    }

    /// A connection of its own for `body`, closed when it returns.
    ///
    /// - Throws: What `body` throws; ``MicroError`` when there is no connection.
    public func withConnection<Value: Sendable>(
        _ body: (RedisConnection) async throws -> Value
    ) async throws -> Value {
        try check()
        let wire = try await RedisWire.open(options, dialer: dialer)
        let connection = RedisConnection(wire, options, environment: environment)
        defer { connection.close() }
        return try await body(connection)
    }

    /// A connection for messages.
    func open(
        onMessage: @escaping RedisWire.OnMessage, onEnd: @escaping @Sendable (MicroError) -> Void
    ) async throws -> RedisWire {
        try check()
        return try await RedisWire.open(
            options, dialer: dialer, onMessage: onMessage, onEnd: onEnd)
    }

    private func check() throws(MicroError) {
        let problems = options.problems
        guard problems.isEmpty else {
            throw .invalid("redis", problems.joined(separator: "; "))
        }
        if case .closed = phase.withLock({ $0 }) { throw RedisFailure.closed(options.place) }
    }

    private func perform(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        try RedisReplies.check(commands)
        let operation = RedisReplies.operation(of: commands)
        let deadline = options.deadline(of: commands, now: environment.clock.now)
        let mayRepeat = commands.allSatisfy(\.isIdempotent)
        var attempt = 1
        while true {
            do {
                let wire = try await wire(operation, deadline: deadline)
                return try await wire.perform(operation, commands, deadline: deadline)
            } catch let error as MicroError {
                let mayBeSent = !error.wasWritten || mayRepeat
                guard error.code == .unavailable, mayBeSent, error.reason != RedisReason.closed,
                    attempt < options.attempts
                else { throw error }
                attempt += 1
            }
        }
    }

    // MARK: The connection

    private func wire(
        _ operation: String, deadline: EventLoopClock.Instant
    ) async throws -> RedisWire {
        let latch: Latch<RedisWire>
        switch try current() {
        case .success(let wire): return wire
        case .failure(let attempt): latch = attempt.latch
        }
        let left = environment.clock.now.duration(to: deadline)
        return try await withTimeout(
            left, on: environment.clock, operation, "connecting to \(options.place)"
        ) { try await latch.wait() }
    }

    private struct Attempt: Error {
        let latch: Latch<RedisWire>
    }

    /// The connection, or the attempt to get one, which this begins where there is none.
    private func current() throws -> Result<RedisWire, Attempt> {
        if case .connected(let wire) = phase.withLock({ $0 }), wire.failure == nil {
            return .success(wire)
        }
        try check()
        return try phase.withLock { phase in
            switch phase {
            case .connected(let wire) where wire.failure == nil: return .success(wire)
            case .connected: return .failure(begin(&phase, failures: 0, notBefore: nil))
            case .connecting(let latch, _): return .failure(Attempt(latch: latch))
            case .closed: throw RedisFailure.closed(options.place)
            case .idle(let failures, let notBefore):
                return .failure(begin(&phase, failures: failures, notBefore: notBefore))
            }
        }
    }

    private func begin(
        _ phase: inout Phase, failures: Int, notBefore: EventLoopClock.Instant?
    ) -> Attempt {
        let latch = Latch<RedisWire>()
        let task = Context.unbound {
            environment.spawn { [weak self] in
                await self?.connect(latch, failures: failures, notBefore: notBefore)
            }
        }
        phase = .connecting(latch, task)
        return Attempt(latch: latch)
    }

    private func connect(
        _ latch: Latch<RedisWire>, failures: Int, notBefore: EventLoopClock.Instant?
    ) async {
        do {
            if let notBefore { try await environment.clock.sleep(until: notBefore) }
            let wire = try await RedisWire.open(options, dialer: dialer, onEnd: logEnd())
            let isWanted = phase.withLock { phase in
                guard case .connecting(let current, _) = phase, current === latch else {
                    return false
                }
                phase = .connected(wire)
                return true
            }
            guard isWanted else { return wire.close() }
            latch.set(.success(wire))
        } catch {
            failed(latch, failures: failures + 1, MicroError(error, id: "redis.connect"))
        }
    }

    private func failed(_ latch: Latch<RedisWire>, failures: Int, _ error: MicroError) {
        let pause = Backoff.pause(after: failures, random: environment.random())
        let notBefore = environment.clock.now.advanced(by: pause)
        phase.withLock { phase in
            guard case .connecting(let current, _) = phase, current === latch else { return }
            phase = .idle(failures: failures, notBefore)
        }
        if failures == 1 {
            logger.warning("redis can't be reached", metadata: ["reason": "\(error.detail)"])
        }
        latch.set(.failure(error))
    }

    private func logEnd() -> @Sendable (MicroError) -> Void {
        let logger = logger
        return { error in
            guard error.reason != RedisReason.closed else { return }
            logger.info("the connection has ended", metadata: ["reason": "\(error.detail)"])
        }
    }
}
