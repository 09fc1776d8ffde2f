internal import Micro

/// One connection to Redis, for what needs one of its own: commands that block, "WATCH", "SELECT".
/// It doesn't connect again: when it has ended, every call fails.
///
/// Made by ``RedisClient/withConnection(_:)``. Commands of several tasks go out together, and are
/// done in the order in which they were sent. Safe to use from any thread.
public final class RedisConnection: Sendable {
    private let wire: RedisWire
    private let options: RedisOptions
    private let environment: Environment

    init(_ wire: RedisWire, _ options: RedisOptions, environment: Environment) {
        self.wire = wire
        self.options = options
        self.environment = environment
    }

    deinit { wire.close() }

    /// Whether it has not ended.
    public var isOpen: Bool { wire.failure == nil }

    /// Sends a command, and waits for its answer.
    ///
    /// - Throws: ``MicroError``: what Redis says, with a ``RedisReason``; `unavailable` when the
    ///   connection has ended, with ``MicroError/wasWritten`` when the command may have been done;
    ///   `deadlineExceeded`. `CancellationError`: the command may have been done.
    @discardableResult
    public func send(_ command: RedisCommand) async throws -> RedisValue {
        let replies = try await perform([command])
        return try RedisReplies.single(replies, command, at: options.place)
    }

    /// Sends commands together, and waits for all answers. One that fails does not stop the others.
    ///
    /// - Returns: An answer for each; ``RedisValue/error(_:)`` for those that failed.
    /// - Throws: As ``send(_:)``, but for what Redis says.
    public func pipeline(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        return try await perform(commands)
    }

    /// Does commands together, with no other in between: "MULTI" and "EXEC".
    ///
    /// - Returns: An answer for each; nil when a key that "WATCH" has named has changed.
    /// - Throws: As ``send(_:)``; `aborted` with reason "EXECABORT" when one can't be done at all,
    ///   and then none was.
    public func transaction(_ commands: [RedisCommand]) async throws -> [RedisValue]? {
        guard !commands.isEmpty else { return [] }
        let replies = try await perform([["MULTI"]] + commands + [["EXEC"]])
        return try RedisReplies.transaction(replies, at: options.place)
    }

    /// Closes it. Idempotent.
    public func close() { wire.close() }

    private func perform(_ commands: [RedisCommand]) async throws -> [RedisValue] {
        try RedisReplies.check(commands)
        let deadline = options.deadline(of: commands, now: environment.clock.now)
        return try await wire.perform(
            RedisReplies.operation(of: commands), commands, deadline: deadline)
    }
}

/// What comes before a command is sent, and after its answer.
enum RedisReplies {
    static func check(_ commands: [RedisCommand]) throws(MicroError) {
        guard commands.allSatisfy({ !$0.arguments.isEmpty }) else {
            throw .invalid("redis", "a command has no name")
        }
    }

    /// "redis.get".
    static func operation(of commands: [RedisCommand]) -> String {
        commands.count == 1 ? "redis.\(commands[0].name.lowercased())" : "redis.pipeline"
    }

    static func single(
        _ replies: [RedisValue], _ command: RedisCommand, at place: String
    ) throws(MicroError) -> RedisValue {
        guard let reply = replies.first else {
            throw .internalError(operation(of: [command]), "there is no reply")
        }
        if case .error(let text) = reply {
            throw RedisFailure.explain(text, operation(of: [command]), at: place)
        }
        return reply
    }

    static func transaction(
        _ replies: [RedisValue], at place: String
    ) throws(MicroError) -> [RedisValue]? {
        switch replies.last {
        case .array(let values): return values
        case .null: return nil
        case .error(let text):
            // What was wrong with one of them says more than that nothing was done.
            for case .error(let reason) in replies.dropLast() {
                var error = RedisFailure.explain(text, "redis.transaction", at: place)
                error.detail = "\(place): \(reason.prefix(1024)): nothing was done"
                throw error
            }
            throw RedisFailure.explain(text, "redis.transaction", at: place)
        default: throw .internalError("redis.transaction", "\(place): no reply to EXEC")
        }
    }
}

extension RedisOptions {
    /// Until when commands that go out together have to be answered: not later than who called
    /// waits.
    func deadline(
        of commands: [RedisCommand], now: EventLoopClock.Instant
    ) -> EventLoopClock.Instant {
        let own = commands.map { ($0.timeout ?? timeout) + $0.blocking }.max() ?? timeout
        let deadline = now.advanced(by: own)
        return Context.current?.deadline.map { min($0, deadline) } ?? deadline
    }
}
