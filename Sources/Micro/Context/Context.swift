public import Logging
internal import Synchronization

/// What a handler knows about the call that it serves: who calls, with what metadata, until when.
///
/// It is passed to every handler, and bound to the task of an asynchronous one, so that the calls
/// made inside inherit the deadline, the trace and the request id. Safe to use from any thread,
/// also after the handler has returned.
public struct Context: Sendable {
    let scope: CallScope

    @TaskLocal static var bound: Context?

    /// The context of the handler that the current task runs, if there is one.
    public static var current: Context? { bound }

    /// The name of the service that was called.
    public var service: String { scope.origin.service }

    /// The endpoint as it was registered: "Greeter.Hello".
    public var endpoint: String { scope.origin.endpoint }

    /// What the caller sent beside the message. Names are lower case.
    public var metadata: Metadata { scope.metadata }

    /// When nobody waits for the answer any more, on ``clock``; nil when the caller set no deadline
    /// and the endpoint has none.
    public var deadline: EventLoopClock.Instant? { scope.deadline }

    /// How long the caller still waits: nil without a deadline, zero when it has passed.
    public var timeRemaining: Duration? {
        deadline.map { max(.zero, clock.now.duration(to: $0)) }
    }

    /// The caller's address: "127.0.0.1:4711".
    public var peer: String { scope.peer }

    /// Who the caller is, by its certificate; nil when the server asks for none, or the call came
    /// without TLS.
    public var peerIdentity: PeerIdentity? { scope.peerIdentity }

    /// Identifies the request across services: the caller's `x-request-id`, or a new one.
    public var requestID: String { scope.requestID }

    /// The clock of the service: virtual in a simulation.
    public var clock: EventLoopClock { scope.origin.environment.clock }

    /// The service's logger, with the endpoint and the request id as metadata.
    public var logger: Logger { scope.logger }

    /// Whether the message came compressed; of a stream of requests each says so itself.
    public var requestWasCompressed: Bool { scope.requestWasCompressed }

    /// What goes back to the caller before the answer, or beside the error: the response headers.
    /// Of a stream of replies it is sent with the first; what is set later goes behind the last.
    public var replyMetadata: Metadata {
        get { scope.reply.metadata }
        nonmutating set { scope.changeReply { $0.metadata = newValue } }
    }

    /// What goes back to the caller behind the answer, or beside the error: the trailers. HTTP/1.1
    /// callers don't get it.
    public var replyTrailers: Metadata {
        get { scope.reply.trailers }
        nonmutating set { scope.changeReply { $0.trailers = newValue } }
    }

    /// Whether the answer is compressed, when the caller takes that. At first as the server's
    /// options say.
    public var compression: Compression {
        get { scope.compression }
        nonmutating set { scope.changeReply { $0.compression = newValue } }
    }

    /// Runs blocking work on a worker thread, so that the event loop goes on.
    ///
    /// Cancelling the task does not interrupt the work: it is waited for.
    public func offload<T: Sendable>(
        _ work: @escaping @Sendable () throws -> T
    ) async throws -> T {
        try await scope.origin.environment.offload(work)
    }

    /// Runs `body` as a part of no call: for what is started by one and outlives it.
    package static func unbound<T>(_ body: () throws -> T) rethrows -> T {
        try Context.$bound.withValue(nil) { try body() }
    }

    /// Runs `body` as a part of this call: what it calls inherits deadline, trace and request id.
    public func bind<T>(_ body: () async throws -> T) async rethrows -> T {
        try await Context.$bound.withValue(self) { try await body() }
    }
}

/// Who lends a context its client. The context can't name the client: that is a higher layer.
protocol ContextClient: AnyObject, Sendable {}

/// The client that the contexts of one server lend: the one that was given, or one that is made
/// when somebody first asks for it.
final class LentClient: Sendable {
    private let client: Mutex<(any ContextClient)?>

    init(_ given: (any ContextClient)?) { client = Mutex(given) }

    func get(orMake make: () -> any ContextClient) -> any ContextClient {
        client.withLock { client in
            if let client { return client }
            let made = make()
            client = made
            return made
        }
    }
}
