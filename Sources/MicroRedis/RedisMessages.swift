internal import Micro
internal import Synchronization

/// A message that was published to a channel.
public struct RedisMessage: Sendable, Hashable {
    /// The channel.
    public var channel: String
    /// The pattern by which it came; nil: by its channel.
    public var pattern: String?
    /// The bytes.
    public var payload: [UInt8]
}

extension RedisClient {
    /// Subscribes to channels, on a connection of its own.
    ///
    /// Redis keeps no messages for who is away: when the connection breaks, the sequence throws,
    /// and what was published until it is subscribed again is lost.
    /// - Parameters:
    ///   - channels: Names of channels.
    ///   - patterns: "news.*".
    /// - Returns: The messages from now on: Redis has confirmed every subscription.
    /// - Throws: ``MicroError``.
    public func messages(
        of channels: [String], matching patterns: [String] = []
    ) async throws -> RedisMessages {
        guard !channels.isEmpty || !patterns.isEmpty else {
            throw MicroError.invalid("redis.subscribe", "there is no channel and no pattern")
        }
        let inbox = RedisInbox(
            awaiting: Set(channels).count + Set(patterns).count, capacity: options.messages,
            place: options.place)
        let wire = try await open {
            inbox.take($0)
        } onEnd: { error in
            inbox.end(error)
        }
        inbox.attach(wire)
        let messages = RedisMessages(inbox: inbox)
        for (name, words) in [("SUBSCRIBE", channels), ("PSUBSCRIBE", patterns)]
        where !words.isEmpty {
            let command = RedisCommand([RedisArgument(name)] + words.map { RedisArgument($0) })
            guard wire.post(command) else {
                throw MicroError.resourceExhausted(
                    "redis.subscribe", "\(options.place): too many channels at once")
            }
        }
        try await withTimeout(
            options.timeout, on: environment.clock, "redis.subscribe",
            "subscribing at \(options.place)"
        ) { try await inbox.confirmed() }
        return messages
    }
}

/// The messages of a subscription as they come: a single-pass sequence for one consumer, which ends
/// with an error when the connection does.
public struct RedisMessages: AsyncSequence, Sendable {
    private let subscription: Subscription

    init(inbox: RedisInbox) { subscription = Subscription(inbox) }

    /// The next message.
    ///
    /// - Throws: ``MicroError`` `unavailable` when the connection has ended; `CancellationError`,
    ///   after which the sequence can be gone on with.
    public func next() async throws -> RedisMessage? { try await subscription.inbox.next() }

    /// Ends the subscription. Idempotent.
    public func close() { subscription.inbox.close() }

    /// The messages. All iterators share them.
    public func makeAsyncIterator() -> Iterator { Iterator(messages: self) }

    /// Iterates messages.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let messages: RedisMessages

        /// The next message; as ``RedisMessages/next()``.
        public mutating func next() async throws -> RedisMessage? { try await messages.next() }
    }

    /// Ends the subscription with the last copy.
    private final class Subscription: Sendable {
        let inbox: RedisInbox
        init(_ inbox: RedisInbox) { self.inbox = inbox }
        deinit { inbox.close() }
    }
}

/// Messages between a connection and their reader. When it is full, the server is stopped.
final class RedisInbox: Sendable {
    private struct State {
        var messages = Fifo<RedisMessage>()
        var reader: (id: UInt64, continuation: CheckedContinuation<RedisMessage?, any Error>)?
        var lastReader: UInt64 = 0
        var wire: RedisWire?
        var awaited: Int
        var isStopped = false
        var end: MicroError?
    }

    private let state: Mutex<State>
    private let capacity: Int
    private let place: String
    private let confirmation = Latch<Void>()

    init(awaiting count: Int, capacity: Int, place: String) {
        state = Mutex(State(awaited: count))
        self.capacity = capacity
        self.place = place
    }

    func attach(_ wire: RedisWire) {
        let isOver = state.withLock { state in
            state.wire = wire
            return state.end != nil
        }
        if isOver { wire.close() }
    }

    /// Waits until Redis has confirmed every subscription.
    func confirmed() async throws { try await confirmation.wait() }

    // MARK: What comes

    /// On the loop.
    func take(_ value: RedisValue) {
        if case .error(let text) = value {
            let error = RedisFailure.explain(text, "redis.subscribe", at: place)
            end(error)
            state.withLock { $0.wire }?.close(error)
            return
        }
        guard let words = value.array, let kind = words.first?.string else { return }
        switch (kind, words.count) {
        case ("subscribe", 3), ("psubscribe", 3):
            let isLast = state.withLock { state in
                state.awaited -= 1
                return state.awaited == 0
            }
            if isLast { confirmation.set(.success(())) }
        case ("message", 3):
            add(RedisMessage(channel: words[1].string ?? "", payload: words[2].bytes ?? []))
        case ("pmessage", 4):
            add(
                RedisMessage(
                    channel: words[2].string ?? "", pattern: words[1].string,
                    payload: words[3].bytes ?? []))
        default: break  // the answer to a ping
        }
    }

    private func add(_ message: RedisMessage) {
        let (reader, stopped) = state.withLock { state in
            if let reader = state.reader.take() { return (Optional(reader), RedisWire?.none) }
            state.messages.append(message)
            guard state.messages.count >= capacity, !state.isStopped else { return (nil, nil) }
            state.isStopped = true
            return (nil, state.wire)
        }
        reader?.continuation.resume(returning: message)
        stopped?.setReading(false)
    }

    /// What has come is still read.
    func end(_ error: MicroError) {
        let reader = state.withLock { state in
            if state.end == nil { state.end = error }
            return state.reader.take()
        }
        confirmation.set(.failure(error))
        reader?.continuation.resume(with: RedisInbox.end(error))
    }

    func close() {
        let wire = state.withLock { $0.wire }
        end(RedisFailure.closed(place))
        wire?.close()
    }

    private static func end(_ error: MicroError) -> Result<RedisMessage?, any Error> {
        error.reason == RedisReason.closed ? .success(nil) : .failure(error)
    }

    // MARK: Reading

    func next() async throws -> RedisMessage? {
        let id = state.withLock { state in
            state.lastReader += 1
            return state.lastReader
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { park(id, $0) }
        } onCancel: {
            let reader = state.withLock { state in
                state.reader?.id == id ? state.reader.take() : nil
            }
            reader?.continuation.resume(throwing: CancellationError())
        }
    }

    private func park(
        _ id: UInt64, _ continuation: CheckedContinuation<RedisMessage?, any Error>
    ) {
        let (result, resumed): (Result<RedisMessage?, any Error>?, RedisWire?) =
            state.withLock { state in
                if let message = state.messages.popFirst() {
                    guard state.isStopped, state.messages.count <= capacity / 2 else {
                        return (.success(message), nil)
                    }
                    state.isStopped = false
                    return (.success(message), state.wire)
                }
                if let error = state.end { return (RedisInbox.end(error), nil) }
                if Task.isCancelled { return (.failure(CancellationError()), nil) }
                guard state.reader == nil else {
                    let error = MicroError.failedPrecondition(
                        "redis.subscribe", "two tasks wait for the messages of one subscription")
                    return (.failure(error), nil)
                }
                state.reader = (id, continuation)
                return (nil, nil)
            }
        resumed?.setReading(true)
        if let result { continuation.resume(with: result) }
    }
}
