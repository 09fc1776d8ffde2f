/// Messages without RPC: sockets that carry messages, each with a header and a body, between two
/// ends.
///
/// ```swift
/// let transport = SocketTransport()
/// let listener = try await transport.listen("127.0.0.1:0")
/// let socket = try await transport.dial(listener.address)
/// try await socket.send(TransportMessage(header: ["topic": "greeting"], body: Array("hi".utf8)))
///
/// guard let accepted = try await listener.accept() else { return }
/// for try await message in accepted.messages {
///     try await accepted.send(message)
/// }
/// await accepted.close()
/// ```
/// An address is "tcp://host:port", "tls://host:port", "unix:///path" or "memory://name"; without a
/// scheme it is tcp. ``SocketTransport`` is the implementation; `TransportConformance` of
/// MicroTesting states what each one does.
///
/// Errors are ``MicroError`` with a reason: "NOBODY_LISTENS", "TIMEOUT", "ADDRESS_IN_USE",
/// "PROTOCOL" (the other side is not a socket of this kind, or broke its rules), "TLS", "LIMIT",
/// "MESSAGE_TOO_LARGE", "INVALID", "DISCONNECTED", "CLOSED" (by this side). Whoever waits can be
/// cancelled, and throws `CancellationError` then.
public protocol Transport: Sendable {
    /// Connects to a listener.
    ///
    /// - Parameters:
    ///   - address: Where it listens.
    ///   - timeout: Until the socket is open.
    func dial(_ address: String, timeout: Duration) async throws -> any TransportSocket

    /// Listens.
    ///
    /// - Parameter address: Where: port 0 is any free one.
    func listen(_ address: String) async throws -> any TransportListener
}

extension Transport {
    /// Connects to a listener, within 5 seconds.
    public func dial(_ address: String) async throws -> any TransportSocket {
        try await dial(address, timeout: .seconds(5))
    }
}

/// What a socket carries.
public struct TransportMessage: Sendable, Hashable {
    /// Names and values. Any valid names may be used: none is reserved.
    public var header: Metadata
    /// Any bytes.
    public var body: [UInt8]

    /// Makes a message.
    public init(header: Metadata = Metadata(), body: [UInt8] = []) {
        self.header = header
        self.body = body
    }
}

/// One end of a connection that carries messages, in order and in both directions.
///
/// Any number of tasks may send and receive at once; each message goes to one of them. A socket
/// that nobody holds any more closes itself.
public protocol TransportSocket: AnyObject, Sendable {
    /// The address on this side: of an accepted socket the listener's; nil when it is not known.
    var local: String? { get }
    /// The address of the other side: the one that was dialled, or what the transport knows of who
    /// did.
    var remote: String { get }
    /// Whom its certificate says that the other side is; nil: it has proved nothing.
    var peerIdentity: PeerIdentity? { get }

    /// Sends a message; waits while the other side is slow. When it throws, nothing was sent.
    ///
    /// It returns when the message is queued here, in a bounded queue: that it was delivered is
    /// known by an answer alone.
    /// - Parameter timeout: How long it waits; nil: for as long as it takes.
    func send(_ message: TransportMessage, timeout: Duration?) async throws

    /// The next message; nil when the other side has closed in order and all was received. Sending
    /// still works then, to a side that closed only its own.
    ///
    /// A message that comes when nobody waits any more is kept for the next call.
    /// - Parameter timeout: How long it waits; nil: for ever. Zero asks whether one is there.
    func receive(timeout: Duration?) async throws -> TransportMessage?

    /// Closes in order: what was sent is delivered first, and behind it the other side sees the
    /// end. What was not received is dropped, and whoever waits fails with "CLOSED". Returns when
    /// it is done, or given up; cancelling the task aborts. Idempotent.
    func close() async

    /// Ends it now: what is on its way is lost, and the other side sees a broken connection.
    /// Idempotent.
    func abort()
}

extension TransportSocket {
    /// Sends a message, waiting as long as it takes.
    public func send(_ message: TransportMessage) async throws {
        try await send(message, timeout: nil)
    }

    /// The next message, waiting as long as it takes; nil at the end.
    public func receive() async throws -> TransportMessage? { try await receive(timeout: nil) }

    /// Who does not know it.
    public var peerIdentity: PeerIdentity? { nil }

    /// The messages, until the other side has closed.
    public var messages: TransportMessages { TransportMessages(socket: self) }
}

/// The messages that a socket receives.
public struct TransportMessages: AsyncSequence, Sendable {
    let socket: any TransportSocket

    /// Takes one message after the other.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let socket: any TransportSocket

        /// The next message; nil at the end.
        public mutating func next() async throws -> TransportMessage? {
            try await socket.receive(timeout: nil)
        }
    }

    /// Starts taking messages.
    public func makeAsyncIterator() -> Iterator { Iterator(socket: socket) }
}

/// Where others connect to.
///
/// A listener that nobody holds any more closes itself.
public protocol TransportListener: AnyObject, Sendable {
    /// The address that was bound, to be dialled.
    var address: String { get }

    /// The next socket; nil when the listener was closed.
    ///
    /// Sockets wait for it in a bounded queue; who connects beyond that is refused.
    /// - Parameter timeout: How long it waits; nil: for ever. Zero asks whether one is there.
    func accept(timeout: Duration?) async throws -> (any TransportSocket)?

    /// Takes no connections any more. Sockets that were accepted go on; those that nobody took are
    /// closed. Idempotent.
    func close() async
}

extension TransportListener {
    /// The next socket, waiting as long as it takes; nil when the listener was closed.
    public func accept() async throws -> (any TransportSocket)? { try await accept(timeout: nil) }

    /// The sockets, until the listener is closed.
    public var sockets: TransportSockets { TransportSockets(listener: self) }
}

/// The sockets that a listener accepts.
public struct TransportSockets: AsyncSequence, Sendable {
    let listener: any TransportListener

    /// Takes one socket after the other.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let listener: any TransportListener

        /// The next socket; nil at the end.
        public mutating func next() async throws -> (any TransportSocket)? {
            try await listener.accept(timeout: nil)
        }
    }

    /// Starts taking sockets.
    public func makeAsyncIterator() -> Iterator { Iterator(listener: listener) }
}
