/// A message socket as its loop sees it: who waits to send, to receive, or for its end.
final class SocketPipe: LoopSocket, @unchecked Sendable {  // its state is touched on the loop only
    private typealias Receiver = LoopWait<TransportMessage?>

    private struct Sender {
        let message: TransportMessage
        let wait: LoopWait<Void>
    }

    /// Of the other side, for errors: "tcp://127.0.0.1:4711".
    var address: String
    private var opener: LoopWait<SocketPipe>?
    private var senders = Fifo<Sender>()
    private var receivers = Fifo<Receiver>()
    private var closers: [LoopWait<Void>] = []
    /// Came when nobody waited any more.
    private var ahead: TransportMessage?
    private var isAsked = false
    private var isAtEnd = false
    /// Why nothing can be sent or received any more.
    private var failure: MicroError?
    private var isShut = false
    private var isEnded = false

    init(of messenger: LoopMessenger, address: String) {
        self.address = address
        super.init(of: messenger)
    }

    private func error(_ status: CoreStatus, _ text: String) -> MicroError {
        MicroError(
            "transport", status == .closed ? .failedPrecondition : status.code,
            "\(address): \(text)", reason: status.transportReason)
    }

    private func timedOut(_ what: String, _ timeout: Duration?) -> MicroError {
        MicroError(
            "transport", .deadlineExceeded,
            "\(address): \(what) within \(timeout ?? .zero)", reason: "TIMEOUT")
    }

    // MARK: Opening

    static func dial(
        _ address: TransportAddress, on messenger: LoopMessenger, tls: TLSContext?,
        timeout: Duration
    ) async throws -> ConnectedSocket {
        let pipe = SocketPipe(of: messenger, address: "\(address)")
        let open = try await LoopWait<SocketPipe>.value(
            on: messenger.loop, timeout: nil, timedOut: { pipe.timedOut("no connection", timeout) },
            leave: { _ in pipe.leaveOpening() },
            begin: { wait in
                do {
                    try messenger.dial(pipe, address, tls: tls, timeout: timeout)
                    pipe.opener = wait
                } catch {
                    wait.resume(throwing: error)
                }
            })
        return ConnectedSocket(
            open, local: nil, remote: open.address, identity: open.openIdentity)
    }

    private var openIdentity: PeerIdentity?

    private func leaveOpening() {
        opener = nil
        close(isAbort: true)
    }

    override func opened() {
        openIdentity = identity
        opener.take()?.resume(returning: self)
    }

    // MARK: Sending

    func send(_ message: TransportMessage, timeout: Duration?) async throws {
        try await LoopWait<Void>.value(
            on: loop, timeout: timeout,
            timedOut: { self.timedOut("the message was not taken", timeout) },
            leave: { wait in _ = self.senders.removeFirst { $0.wait === wait } },
            begin: { wait in
                let sender = Sender(message: message, wait: wait)
                if !self.senders.isEmpty || !self.sendNow(sender) { self.senders.append(sender) }
            })
    }

    /// false: it has to wait.
    private func sendNow(_ sender: Sender) -> Bool {
        if let failure {
            sender.wait.resume(throwing: failure)
            return true
        }
        let (status, text) = send(sender.message.header, sender.message.body)
        switch status {
        case .busy: return false
        case .ok: sender.wait.resume(returning: ())
        default: sender.wait.resume(throwing: refusal(status, text))
        }
        return true
    }

    private func refusal(_ status: CoreStatus, _ text: String) -> MicroError {
        var error = error(status, text)
        if status == .limit { error.reason = "MESSAGE_TOO_LARGE" }
        return error
    }

    override func becameWritable() {
        // Who goes on in place may send, too: it is behind those who wait.
        while let sender = senders.first {
            _ = senders.popFirst()
            guard sendNow(sender) else { return senders.prepend(sender) }
        }
    }

    // MARK: Receiving

    func receive(timeout: Duration?) async throws -> TransportMessage? {
        try await LoopWait<TransportMessage?>.value(
            on: loop, timeout: timeout,
            timedOut: { self.timedOut("no message", timeout) },
            leave: { wait in _ = self.receivers.removeFirst { $0 === wait } },
            begin: { self.take($0) })
    }

    private func take(_ receiver: Receiver) {
        if let message = ahead.take() { return receiver.resume(returning: message) }
        if isAtEnd, !isShut { return receiver.resume(returning: nil) }
        if let failure { return receiver.resume(throwing: failure) }
        receivers.append(receiver)
        ask()
    }

    private func ask() {
        guard !isAsked, !receivers.isEmpty else { return }
        isAsked = true
        // Of one that has ended the reason is on its way.
        _ = receive()
    }

    override func received(_ header: Metadata, _ body: [UInt8]) {
        isAsked = false
        let message = TransportMessage(header: header, body: body)
        guard let receiver = receivers.popFirst() else {
            ahead = message
            return
        }
        receiver.resume(returning: message)
        ask()
    }

    override func receivedEnd() {
        isAsked = false
        isAtEnd = true
        for receiver in receivers.removeAll() { receiver.resume(returning: nil) }
    }

    // MARK: The end

    /// Closes in order, and returns when it has ended; whoever is cancelled meanwhile aborts.
    func finish() async {
        try? await LoopWait<Void>.value(
            on: loop, timeout: nil, timedOut: { self.timedOut("not closed", nil) },
            leave: { wait in
                self.closers.removeAll { $0 === wait }
                self.close(isAbort: true)
            },
            begin: { wait in
                if self.isEnded { return wait.resume(returning: ()) }
                self.closers.append(wait)
                self.shut(isAbort: false)
            })
    }

    /// On the loop.
    func shut(isAbort: Bool) {
        isShut = true
        ahead = nil
        close(isAbort: isAbort)
        fail(error(.closed, "the socket was closed"))
    }

    override func ended(_ status: CoreStatus, _ text: String) {
        isEnded = true
        let failure = error(status == .ok ? .closed : status, text)
        if let opener = opener.take() {
            opener.resume(throwing: failure)
        }
        fail(failure)
        for closer in closers { closer.resume(returning: ()) }
        closers = []
    }

    /// The first reason counts.
    private func fail(_ error: MicroError) {
        guard failure == nil else { return }
        failure = error
        for sender in senders.removeAll() { sender.wait.resume(throwing: error) }
        for receiver in receivers.removeAll() { receiver.resume(throwing: error) }
    }
}

/// A socket as its users hold it: without them it closes.
final class ConnectedSocket: TransportSocket {
    private let pipe: SocketPipe
    let local: String?
    let remote: String
    let peerIdentity: PeerIdentity?

    init(_ pipe: SocketPipe, local: String?, remote: String, identity: PeerIdentity?) {
        self.pipe = pipe
        self.local = local
        self.remote = remote
        self.peerIdentity = identity
    }

    deinit {
        let pipe = pipe
        pipe.loop.execute { pipe.shut(isAbort: false) }
    }

    func send(_ message: TransportMessage, timeout: Duration?) async throws {
        // It must not close while somebody waits, whoever else holds it.
        defer { withExtendedLifetime(self) {} }
        try await pipe.send(message, timeout: timeout)
    }

    func receive(timeout: Duration?) async throws -> TransportMessage? {
        defer { withExtendedLifetime(self) {} }
        return try await pipe.receive(timeout: timeout)
    }

    func close() async {
        await pipe.finish()
    }

    func abort() {
        let pipe = pipe
        pipe.loop.executeNow { pipe.shut(isAbort: true) }
    }
}
