internal import CMicroCore

/// What a server has said.
struct HTTPAnswer: Sendable, Hashable {
    /// 200, 304, 404, ...
    var status: UInt32
    /// How it calls this state of the document; may be empty.
    var etag: String
    var body: [UInt8]
}

/// One GET of HTTP/1.1, on a connection of its own.
struct HTTPGet: Sendable {
    var address: TransportAddress
    /// The field "Host".
    var host: String
    /// "/nodes?name=x", with what it has to have escaped.
    var target: String
    /// What is known already; may be empty.
    var etag = ""
    var timeout: Duration
    var bodyBytesMax: Int
    /// For addresses with TLS.
    var tls: TLSContext?

    /// Asks, and waits for the whole answer.
    ///
    /// - Throws: ``MicroError`` `unavailable`, `deadlineExceeded`, `resourceExhausted` when the
    ///   answer is too large, `internal` when it is none; `CancellationError`.
    func answer(on loop: EventLoop) async throws -> HTTPAnswer {
        let pending = PendingGet(self)
        return try await LoopWait.value(
            on: loop, leave: { _ in pending.cancel() }, begin: { pending.begin(on: loop, $0) })
    }
}

/// A GET that is under way; keeps what the core has borrowed. All of it is the loop thread's.
private final class PendingGet: @unchecked Sendable {  // see above
    private let get: HTTPGet
    private var raw: OpaquePointer?
    private var wait: LoopWait<HTTPAnswer>?

    init(_ get: HTTPGet) { self.get = get }

    func begin(on loop: EventLoop, _ wait: LoopWait<HTTPAnswer>) {
        do {
            try start(on: loop)
            self.wait = wait
        } catch {
            wait.resume(throwing: error)
        }
    }

    private func start(on loop: EventLoop) throws {
        let table = try Transports().table(for: get.address, tls: get.tls)
        // Given back when the core says that it is done.
        let context = Unmanaged.passRetained(self)
        let status = get.address.rest.withCString { address in
            withSlices([get.host, get.target, get.etag]) { slices in
                var request = mcore_http_request()
                request.struct_size = UInt32(MemoryLayout<mcore_http_request>.size)
                request.body_bytes_max = UInt32(clamping: get.bodyBytesMax)
                request.timeout_ms = UInt64(max(1, get.timeout.clampedMilliseconds))
                request.address = address
                request.host = slices[0]
                request.target = slices[1]
                request.etag = slices[2]
                return mcore_http_get_start(
                    loop.raw, table, &request, getDone, context.toOpaque(), &raw)
            }
        }
        if status < 0 { context.release() }
        try check(status, "http", "GET \(get.address)")
    }

    func cancel() {
        wait = nil
        if let raw { mcore_http_get_cancel(raw) }
    }

    func finish(_ status: CoreStatus, _ answer: HTTPAnswer?, _ text: String) {
        raw = nil
        guard let wait = wait.take() else { return }
        if let answer {
            wait.resume(returning: answer)
        } else {
            wait.resume(throwing: MicroError("http", status.code, "GET \(get.address): \(text)"))
        }
    }
}

private let getDone: mcore_http_get_done = { context, status, answer, text in
    guard let context else { return }
    let pending = Unmanaged<PendingGet>.fromOpaque(context).takeRetainedValue()
    let read = answer.map {
        HTTPAnswer(
            status: $0.pointee.status, etag: String($0.pointee.etag),
            body: [UInt8]($0.pointee.body))
    }
    pending.finish(CoreStatus(raw: status), read, text.map { String(cString: $0) } ?? "")
}
