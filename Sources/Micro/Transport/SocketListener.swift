/// A listener as its loop sees it: sockets that nobody took yet, or tasks that wait for them.
final class AcceptQueue: LoopListener, @unchecked Sendable {  // touched on the loop only
    private typealias Acceptor = LoopWait<(any TransportSocket)?>

    private let unacceptedMax: Int
    private var address = TransportAddress(scheme: "", rest: "")
    private var sockets = Fifo<ConnectedSocket>()
    private var acceptors = Fifo<Acceptor>()
    private var closers: [LoopWait<Void>] = []
    private var isClosed = false
    private var isEnded = false

    init(of messenger: LoopMessenger, unacceptedMax: Int) {
        self.unacceptedMax = unacceptedMax
        super.init(of: messenger)
    }

    func open(_ address: TransportAddress, tls: TLSContext?) throws -> TransportAddress {
        self.address = try messenger.listen(self, address, tls: tls)
        return self.address
    }

    // MARK: Accepting

    override func accept() -> LoopSocket? {
        guard !isClosed, !acceptors.isEmpty || sockets.count < unacceptedMax else { return nil }
        return SocketPipe(of: messenger, address: address.scheme)
    }

    override func accepted(_ socket: LoopSocket) {
        guard let pipe = socket as? SocketPipe else { return }
        pipe.address = "\(TransportAddress(scheme: address.scheme, rest: pipe.peer))"
        let connected = ConnectedSocket(
            pipe, local: "\(address)", remote: pipe.address, identity: pipe.identity)
        if let acceptor = acceptors.popFirst() {
            acceptor.resume(returning: connected)
        } else {
            sockets.append(connected)
        }
    }

    func next(timeout: Duration?) async throws -> (any TransportSocket)? {
        try await LoopWait<(any TransportSocket)?>.value(
            on: loop, timeout: timeout,
            timedOut: {
                MicroError(
                    "transport", .deadlineExceeded,
                    "\(self.address): nobody connected within \(timeout ?? .zero)",
                    reason: "TIMEOUT")
            },
            leave: { wait in _ = self.acceptors.removeFirst { $0 === wait } },
            begin: { wait in
                if let socket = self.sockets.popFirst() {
                    wait.resume(returning: socket)
                } else if self.isClosed {
                    wait.resume(returning: nil)
                } else {
                    self.acceptors.append(wait)
                }
            })
    }

    // MARK: The end

    func finish() async {
        try? await LoopWait<Void>.value(
            on: loop, timeout: nil,
            timedOut: { MicroError("transport", .deadlineExceeded, "close the listener") },
            leave: { wait in self.closers.removeAll { $0 === wait } },
            begin: { wait in
                if self.isEnded { return wait.resume(returning: ()) }
                self.closers.append(wait)
                self.shut()
            })
    }

    /// On the loop.
    func shut() {
        guard !isClosed else { return }
        isClosed = true
        close()
        _ = sockets.removeAll()  // and each closes itself
        for acceptor in acceptors.removeAll() { acceptor.resume(returning: nil) }
    }

    override func ended() {
        isEnded = true
        shut()
        for closer in closers { closer.resume(returning: ()) }
        closers = []
    }
}

/// A listener as its users hold it: without them it closes.
final class SocketListener: TransportListener {
    private let queue: AcceptQueue
    /// Keeps its certificates as their files are.
    private let certificates: CertificateKeeper?
    let address: String

    private init(_ queue: AcceptQueue, _ certificates: CertificateKeeper?, address: String) {
        self.queue = queue
        self.certificates = certificates
        self.address = address
    }

    static func open(
        _ address: TransportAddress, on messenger: LoopMessenger,
        certificates: CertificateKeeper?, unacceptedMax: Int
    ) async throws -> SocketListener {
        let queue = AcceptQueue(of: messenger, unacceptedMax: unacceptedMax)
        let tls = certificates?.context
        let bound = try await messenger.loop.run { try queue.open(address, tls: tls) }
        return SocketListener(queue, certificates, address: "\(bound)")
    }

    deinit {
        let queue = queue
        queue.loop.execute { queue.shut() }
    }

    func accept(timeout: Duration?) async throws -> (any TransportSocket)? {
        defer { withExtendedLifetime(self) {} }
        return try await queue.next(timeout: timeout)
    }

    func close() async {
        await queue.finish()
    }
}
