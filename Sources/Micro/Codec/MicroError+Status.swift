extension MicroError {
    /// The error as `google.rpc.Status`, for the trailer `grpc-status-details-bin`.
    ///
    /// It carries ``id``, ``reason`` and ``metadata`` as an ErrorInfo (which every gRPC library can
    /// read), `metadata["field"]` also as a BadRequest, and what only Micro knows in a detail of
    /// its own. It stays within 4096 bytes (before base64), since a trailer that is larger than the
    /// caller takes would lose the whole answer: what would not fit is left out, the metadata
    /// first, then all of it.
    public var rpcStatusDetails: [UInt8] { rpcStatusDetails(bytesMax: 4096) }

    /// The same within another bound; empty when not even the detail fits.
    func rpcStatusDetails(bytesMax: Int) -> [UInt8] {
        let whole = encodedStatus()
        guard whole.count > bytesMax else { return whole }
        var smaller = self
        smaller.metadata = [:]
        let rest = smaller.encodedStatus()
        return rest.count <= bytesMax ? rest : []
    }

    /// The error that a gRPC status stands for.
    ///
    /// Details that can't be read, belong to another code or are of unknown types are passed over.
    ///
    /// - Parameters:
    ///   - rpcCode: `grpc-status`. 0 is no error and gives ``Code/unknown``.
    ///   - message: `grpc-message`, decoded.
    ///   - details: `grpc-status-details-bin`, decoded; empty when there was none.
    public init(rpcCode: UInt32, message: String, details: [UInt8] = []) {
        self.init("", Code(rpc: rpcCode), message)
        guard !details.isEmpty, var status = try? DecodedStatus(details), status.code == rpcCode
        else {
            return
        }
        if !status.message.isEmpty { detail = status.message }
        id = status.domain
        reason = status.reason
        if let field = status.field, status.metadata["field"] == nil {
            status.metadata["field"] = field
        }
        metadata = status.metadata
        retryable = status.retryable
        if let http = status.http, let code = Code(refining: rpcCode, http: http) {
            self.code = code
        }
    }

    private func encodedStatus() -> [UInt8] {
        var status = ProtobufWriter()
        status.varint(1, UInt64(code.rpc))
        status.string(2, detail)
        if !id.isEmpty || !reason.isEmpty || !metadata.isEmpty {
            status.detail(.errorInfo) { info in
                info.string(1, reason)
                info.string(2, id)
                for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
                    info.message(3) { entry in
                        entry.string(1, key)
                        entry.string(2, value)
                    }
                }
            }
        }
        if let field = metadata["field"] {
            status.detail(.badRequest) { request in
                request.message(1) { violation in
                    violation.string(1, field)
                    violation.string(2, detail)
                }
            }
        }
        if code.isRefinement || retryable == false {
            status.detail(.microError) { error in
                if code.isRefinement {
                    error.string(3, code.httpText)
                    error.varint(4, UInt64(code.http))
                }
                if retryable == false { error.varint(15, 1) }
            }
        }
        return status.bytes
    }
}

/// The types of details that are written and read.
private enum DetailType: String {
    case errorInfo = "type.googleapis.com/google.rpc.ErrorInfo"
    case badRequest = "type.googleapis.com/google.rpc.BadRequest"
    /// `micro.errors.Error` of the original: 3 is the text of the HTTP status and 4 its number. 15
    /// is ours: 1 when it may not be tried again.
    case microError = "type.googleapis.com/micro.errors.Error"
}

extension ProtobufWriter {
    /// A field of `google.protobuf.Any`.
    fileprivate mutating func detail(_ type: DetailType, _ body: (inout ProtobufWriter) -> Void) {
        message(3) { any in
            any.string(1, type.rawValue)
            any.message(2, body)
        }
    }
}

/// What is understood of a `google.rpc.Status`.
private struct DecodedStatus {
    var code: UInt32 = 0
    var message = ""
    var reason = ""
    var domain = ""
    var metadata: [String: String] = [:]
    var field: String?
    var http: Int?
    var retryable: Bool?

    init(_ bytes: [UInt8]) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .varint(let code)): self.code = UInt32(truncatingIfNeeded: code)
            case (2, .bytes(let range)): message = try reader.string(range)
            case (3, .bytes(let range)): try readDetail(reader.message(range))
            default: break
            }
        }
    }

    private mutating func readDetail(_ any: ProtobufReader) throws(ProtobufError) {
        var any = any
        var type: DetailType?
        var value: ProtobufReader?
        while let field = try any.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): type = DetailType(rawValue: try any.string(range))
            case (2, .bytes(let range)): value = any.message(range)
            default: break
            }
        }
        guard let type, let value else { return }
        switch type {
        case .errorInfo: try readErrorInfo(value)
        case .badRequest: try readBadRequest(value)
        case .microError: try readMicroError(value)
        }
    }

    private mutating func readErrorInfo(_ info: ProtobufReader) throws(ProtobufError) {
        var info = info
        while let field = try info.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): reason = try info.string(range)
            case (2, .bytes(let range)): domain = try info.string(range)
            case (3, .bytes(let range)):
                var entry = info.message(range)
                var (key, value) = ("", "")
                while let field = try entry.next() {
                    switch (field.number, field.value) {
                    case (1, .bytes(let range)): key = try entry.string(range)
                    case (2, .bytes(let range)): value = try entry.string(range)
                    default: break
                    }
                }
                metadata[key] = value
            default: break
            }
        }
    }

    /// The first field that was refused.
    private mutating func readBadRequest(_ request: ProtobufReader) throws(ProtobufError) {
        var request = request
        while let field = try request.next() {
            guard case (1, .bytes(let range)) = (field.number, field.value) else { continue }
            var violation = request.message(range)
            while let part = try violation.next() {
                guard case (1, .bytes(let range)) = (part.number, part.value) else { continue }
                let name = try violation.string(range)
                if self.field == nil { self.field = name }
            }
        }
    }

    private mutating func readMicroError(_ error: ProtobufReader) throws(ProtobufError) {
        var error = error
        while let field = try error.next() {
            switch (field.number, field.value) {
            case (4, .varint(let status)): http = Int(exactly: status)
            case (15, .varint(1)): retryable = false
            default: break
            }
        }
    }
}
