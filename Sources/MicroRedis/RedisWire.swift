internal import Micro
internal import Synchronization

/// One connection to Redis: what is asked goes out in order, and the answers come back in it.
final class RedisWire: ByteConnectionObserver, @unchecked Sendable {  // `reader` is the loop's
    /// What a connection is told that nobody has asked for: messages of subscriptions.
    typealias OnMessage = @Sendable (RedisValue) -> Void

    private struct State {
        var pipeline: Pipeline
        var connection: ByteConnection?
        /// Nothing counts as written before.
        var isOpen = false
        /// Redis has answered, and knows who calls.
        var isGreeted = false
    }

    private let place: String
    private let stall: Duration
    private let environment: Environment
    private let onMessage: OnMessage?
    private let onEnd: @Sendable (MicroError) -> Void
    private let state: Mutex<State>
    private let reader: ReplyReader
    private let alarm: Alarm

    private init(
        _ options: RedisOptions, environment: Environment, onMessage: OnMessage?,
        onEnd: @escaping @Sendable (MicroError) -> Void
    ) throws(MicroError) {
        place = options.place
        stall = options.stallTimeout
        self.environment = environment
        self.onMessage = onMessage
        self.onEnd = onEnd
        let limits = Pipeline.Limits(
            commands: options.commands, bytes: options.commandBytes, stall: options.stallTimeout,
            ping: options.pingInterval)
        state = Mutex(
            State(pipeline: Pipeline(limits, place: place, now: environment.clock.now)))
        reader = try ReplyReader(limits: options.replyLimits)
        let reference = WeakReference<RedisWire>()
        alarm = Alarm(environment: environment) { reference.object?.tick() }
        reference.object = self
    }

    /// Connects, and says who calls.
    ///
    /// - Parameters:
    ///   - onMessage: Gets, on the loop, what comes when nothing is asked; nil: that is an error.
    ///   - onEnd: Is told once when the connection that this returns has ended, whoever ended it.
    ///     Any thread.
    static func open(
        _ options: RedisOptions, dialer: ByteDialer, onMessage: OnMessage? = nil,
        onEnd: @escaping @Sendable (MicroError) -> Void = { _ in }
    ) async throws -> RedisWire {
        let environment = dialer.environment
        let wire = try RedisWire(
            options, environment: environment, onMessage: onMessage, onEnd: onEnd)
        let deadline = environment.clock.now.advanced(by: options.connectTimeout)
        do {
            let connection = try await dialer.open(options.address, observer: wire)
            wire.take(connection)
            try await wire.greet(options, deadline: deadline)
            // From here on its end is told; if it has come before, it is thrown.
            let failure = wire.state.withLock { state in
                state.isGreeted = true
                return state.pipeline.failure
            }
            if let failure { throw failure }
        } catch {
            wire.close()
            // Of what was asked nothing was written.
            guard var failure = error as? MicroError else { throw error }
            failure.wasWritten = false
            // That of the connection: who waits for it has more time, or says so itself.
            if failure.code == .deadlineExceeded { failure.code = .unavailable }
            throw failure
        }
        return wire
    }

    private func take(_ connection: ByteConnection) {
        let isClosed = state.withLock { state in
            state.connection = connection
            pump(&state)
            return state.pipeline.failure != nil
        }
        if isClosed { connection.close() }
    }

    private func greet(_ options: RedisOptions, deadline: EventLoopClock.Instant) async throws {
        var commands: [RedisCommand] = []
        if !options.password.isEmpty {
            let user = options.user.isEmpty ? [] : [RedisArgument(options.user)]
            commands.append(RedisCommand(["AUTH"] + user + [RedisArgument(options.password)]))
        }
        if options.database != 0 {
            commands.append(["SELECT", RedisArgument(options.database)])
        }
        commands.append(["PING"])
        let replies = try await perform("redis.connect", commands, deadline: deadline)
        for case .error(let text) in replies where !text.hasPrefix("NOPERM") {
            throw RedisFailure.explain(text, "redis.connect", at: place)
        }
    }

    // MARK: Asking

    /// Sends commands together, and waits for all of their replies.
    ///
    /// - Throws: ``MicroError``: `unavailable`, with ``MicroError/wasWritten`` when they may have
    ///   been done; `deadlineExceeded`; `resourceExhausted`. `CancellationError`.
    func perform(
        _ operation: String, _ commands: [RedisCommand], deadline: EventLoopClock.Instant?
    ) async throws -> [RedisValue] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(commands.reduce(0) { $0 + $1.size })
        for command in commands { command.append(to: &bytes) }
        let request = RedisRequest(
            operation, bytes: bytes, count: commands.count, deadline: deadline,
            blocking: commands.reduce(.zero) { $0 + $1.blocking })
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { submit(request, $0) }
        } onCancel: {
            update { $0.pipeline.cancel(request, CancellationError()) }
        }
    }

    private func submit(_ request: RedisRequest, _ answer: RedisRequest.Answer) {
        let now = environment.clock.now
        update { state in
            state.pipeline.submit(request, waiter: answer)
            // Asked under the lock: a cancellation that comes later finds the request.
            if Task.isCancelled { state.pipeline.cancel(request, CancellationError()) }
            pump(&state)
        }
        let patience = now.advanced(by: stall + request.blocking)
        alarm.arm(at: request.deadline.map { min($0, patience) } ?? patience)
    }

    /// Sends without waiting: for commands whose answers are messages.
    func post(_ command: RedisCommand) -> Bool {
        var bytes: [UInt8] = []
        command.append(to: &bytes)
        return state.withLock { $0.connection?.send(bytes) ?? false }
    }

    private func pump(_ state: inout State) {
        guard state.isOpen, let connection = state.connection else { return }
        while let request = state.pipeline.next, connection.send(request.bytes) {
            state.pipeline.wrote(now: environment.clock.now)
        }
    }

    /// Changes the state, and then, without the lock, resumes whom that concerns.
    private func update(_ body: (inout State) -> Void) {
        let wakeups = state.withLock { state in
            body(&state)
            return state.pipeline.takeWakeups()
        }
        for wakeup in wakeups { wakeup.resume() }
    }

    // MARK: The end

    /// Why it has ended; nil: it has not.
    var failure: MicroError? { state.withLock { $0.pipeline.failure } }

    /// Whether nobody waits for anything.
    var isIdle: Bool { state.withLock { $0.pipeline.isIdle } }

    /// Ends it; who waits gets `error`. Idempotent.
    ///
    /// - Parameter fault: What who waits for the next reply gets instead.
    func close(_ error: MicroError? = nil, fault: MicroError? = nil) {
        finish(error ?? RedisFailure.closed(place), fault: fault)
        state.withLock { $0.connection }?.close()
    }

    /// Stops the peer, or lets it go on.
    func setReading(_ isOn: Bool) {
        let now = environment.clock.now
        let (connection, due) = state.withLock { state in
            state.pipeline.pause(!isOn, now: now)
            return (state.connection, state.pipeline.due)
        }
        connection?.setReading(isOn)
        alarm.arm(at: due)
    }

    private func finish(_ error: MicroError, fault: MicroError? = nil) {
        var (isFirst, isGreeted) = (false, false)
        update { state in
            isFirst = state.pipeline.failure == nil
            isGreeted = state.isGreeted
            state.pipeline.end(error, fault: fault)
        }
        guard isFirst else { return }
        alarm.stop()
        if isGreeted { onEnd(error) }
    }

    private func tick() {
        let now = environment.clock.now
        var verdict = Pipeline.Verdict.nothing
        update { verdict = $0.pipeline.tick(now: now) }
        switch verdict {
        case .nothing: break
        case .ping: ping()
        case .dead:
            close(.unavailable("redis", "\(place) does not answer any more"))
        }
        // What is late by less than this is found together with others.
        let soon = now.advanced(by: .milliseconds(10))
        alarm.arm(at: state.withLock { $0.pipeline.due }.map { max($0, soon) })
    }

    private func ping() {
        guard onMessage == nil else {
            // Its answer is a message, too.
            state.withLock { $0.pipeline.probed(now: environment.clock.now) }
            _ = post(["PING"])
            return
        }
        var bytes: [UInt8] = []
        RedisCommand("PING").append(to: &bytes)
        let request = RedisRequest("redis.ping", bytes: bytes, count: 1, deadline: nil)
        update { state in
            state.pipeline.submit(request, waiter: nil)
            pump(&state)
        }
    }

    // MARK: What the connection tells, on its loop

    func opened() {
        update { state in
            state.isOpen = true
            pump(&state)
        }
    }

    func received(_ bytes: RawSpan) {
        do {
            try reader.feed(bytes)
            while let value = try reader.next() { try take(value) }
        } catch {
            var fault: MicroError?
            if error.code == .resourceExhausted {
                fault = error
                fault?.detail = "\(place): \(error.detail)"
            }
            close(
                .unavailable("redis", "\(place): \(error.detail)", reason: error.reason),
                fault: fault)
        }
    }

    private func take(_ value: RedisValue) throws(MicroError) {
        let now = environment.clock.now
        var isExpected = false
        update { isExpected = $0.pipeline.received(value, now: now) }
        if isExpected { return }
        guard let onMessage else {
            throw .unavailable(
                "redis", Self.excerpt(of: value), reason: RedisReason.protocolError)
        }
        onMessage(value)
    }

    /// A server that is full says so before it is asked.
    private static func excerpt(of value: RedisValue) -> String {
        if case .error(let text) = value { return String(text.prefix(200)) }
        return "there was a reply that nobody has asked for"
    }

    func receivedEnd(isTruncated: Bool) {
        close(.unavailable("redis", "\(place) has closed the connection"))
    }

    func becameWritable() { update { pump(&$0) } }

    func ended(_ error: MicroError?) {
        guard let error else { return finish(RedisFailure.closed(place)) }
        let code: MicroError.Code = error.code == .deadlineExceeded ? .unavailable : error.code
        finish(
            MicroError("redis", code, "\(place): \(error.detail)", reason: error.reason))
    }
}
