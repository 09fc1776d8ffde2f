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
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isTaken = loop.execute { pending.start(on: loop, continuation) }
                guard isTaken else {
                    return continuation.resume(
                        throwing: MicroError("http", .unavailable, "the event loop has ended"))
                }
            }
        } onCancel: {
            loop.execute { pending.cancel() }
        }
    }
}

/// A GET that is under way; keeps what the core has borrowed. All of it is the loop thread's.
private final class PendingGet: @unchecked Sendable {  // see above
    private let get: HTTPGet
    private var raw: OpaquePointer?
    private var isCancelled = false
    private var continuation: CheckedContinuation<HTTPAnswer, any Error>?

    init(_ get: HTTPGet) { self.get = get }

    func start(on loop: EventLoop, _ continuation: CheckedContinuation<HTTPAnswer, any Error>) {
        guard !isCancelled else { return continuation.resume(throwing: CancellationError()) }
        do {
            // Given back when the core says that it is done.
            let context = Unmanaged.passRetained(self)
            let status = try begin(on: loop, context.toOpaque())
            if status < 0 { context.release() }
            try check(status, "http", "GET \(get.address)")
            self.continuation = continuation
        } catch {
            continuation.resume(throwing: error)
        }
    }

    private func begin(
        on loop: EventLoop, _ context: UnsafeMutableRawPointer
    ) throws -> mcore_status {
        let table: UnsafePointer<mcore_transport_plugin>
        do {
            table = try Transports().table(for: get.address, tls: get.tls)
        } catch {
            Unmanaged<PendingGet>.fromOpaque(context).release()
            throw error
        }
        let texts = [get.host, get.target, get.etag].map { Array($0.utf8) }
        return get.address.rest.withCString { address in
            texts[0].withUnsafeBytes { host in
                texts[1].withUnsafeBytes { target in
                    texts[2].withUnsafeBytes { etag in
                        var request = mcore_http_request()
                        request.struct_size = UInt32(MemoryLayout<mcore_http_request>.size)
                        request.body_bytes_max = UInt32(clamping: get.bodyBytesMax)
                        request.timeout_ms = UInt64(max(1, get.timeout.clampedMilliseconds))
                        request.address = address
                        request.host = mcore_slice(host)
                        request.target = mcore_slice(target)
                        request.etag = mcore_slice(etag)
                        return mcore_http_get_start(
                            loop.raw, table, &request, getDone, context, &raw)
                    }
                }
            }
        }
    }

    func cancel() {
        isCancelled = true
        if let raw { mcore_http_get_cancel(raw) }
    }

    func finish(_ status: CoreStatus, _ answer: HTTPAnswer?, _ text: String) {
        raw = nil
        guard let continuation = continuation.take() else { return }
        if let answer {
            continuation.resume(returning: answer)
        } else if status == .cancelled {
            continuation.resume(throwing: CancellationError())
        } else {
            continuation.resume(
                throwing: MicroError("http", status.code, "GET \(get.address): \(text)"))
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
