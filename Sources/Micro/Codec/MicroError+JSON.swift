extension MicroError {
    /// The error as the original writes it: `{"id","detail","status","code"}`, where `status` is
    /// the text and `code` the number of the HTTP status, with `reason` and `metadata` where there
    /// are any, and `name` where the number doesn't say which ``Code`` it is.
    public var json: [UInt8] {
        written { fields in
            try fields.encode("id", id)
            try fields.encode("detail", detail)
            try fields.encode("status", code.httpText)
            try fields.encode("code", code.http)
            if Code(http: code.http) != code { try fields.encode("name", code.name) }
        }
    }

    /// The error as a problem of RFC 9457, to be sent as ``ContentType/problem``.
    public var problemJSON: [UInt8] {
        written { fields in
            try fields.encode("type", "about:blank")
            try fields.encode("title", code.httpText)
            try fields.encode("status", code.http)
            try fields.encode("detail", detail)
            try fields.encode("id", id)
            try fields.encode("code", code.name)
        }
    }

    /// The error in the bytes that ``json`` or ``problemJSON`` wrote, or that another service wrote
    /// as a problem of RFC 9457. Unknown fields are passed over.
    ///
    /// - Parameters:
    ///   - bytes: The body of an answer.
    ///   - status: The HTTP status that came with it, used where the body has none.
    /// - Returns: nil when it is no JSON object that describes an error.
    public init?(json bytes: RawSpan, status: Int? = nil) {
        guard let body = try? JSONCodec.standard.decode(ErrorBody.self, from: bytes),
            body.describesError
        else { return nil }
        let code =
            body.name.flatMap(Code.init(name:)) ?? body.code?.text.flatMap(Code.init(name:))
            ?? (body.code?.number ?? body.status?.number ?? status).map(Code.init(http:))
        self.init(
            body.id ?? body.instance ?? "", code ?? .unknown, body.detail ?? body.title ?? "",
            reason: body.reason ?? "", metadata: body.metadata,
            retryable: body.retryable == false ? false : nil)
    }

    /// What both forms have goes last.
    private func written(_ form: (inout DirectWriter.Fields) throws -> Void) -> [UInt8] {
        let json = try? JSONCodec.standard.encode { value in
            try value.object { fields in
                try form(&fields)
                try fields.encodeIfPresent("reason", reason.isEmpty ? nil : reason)
                try fields.encodeIfPresent("metadata", metadata.isEmpty ? nil : metadata)
                if retryable == false { try fields.encode("retryable", false) }
            }
        }
        return json ?? []  // texts have a form, and few objects are not too many
    }
}

/// The union of both forms. A field of an unexpected type counts as missing.
private struct ErrorBody: Decodable {
    var id, detail, title, instance, name, reason: String?
    var code, status: Scalar?
    var metadata: [String: String] = [:]
    var retryable: Bool?

    var describesError: Bool {
        code != nil || status != nil || detail != nil || title != nil
    }

    private enum Key: String, CodingKey {
        case id, detail, title, instance, name, reason, code, status, metadata, retryable
    }

    init(from decoder: any Decoder) throws {
        let body = try decoder.container(keyedBy: Key.self)
        func optional<T: Decodable>(_ key: Key, as type: T.Type = T.self) -> T? {
            (try? body.decodeIfPresent(type, forKey: key)) ?? nil
        }
        id = optional(.id)
        detail = optional(.detail)
        title = optional(.title)
        instance = optional(.instance)
        name = optional(.name)
        reason = optional(.reason)
        code = optional(.code)
        status = optional(.status)
        retryable = optional(.retryable)
        metadata = optional(.metadata, as: [String: Scalar].self)?.compactMapValues(\.text) ?? [:]
    }
}

/// A string, a whole number or a truth value; anything else is passed over.
private struct Scalar: Decodable {
    var text: String?
    var number: Int?

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let text = try? value.decode(String.self) {
            self.text = text
        } else if let number = try? value.decode(Int.self) {
            self.number = number
            text = String(number)
        } else if let truth = try? value.decode(Bool.self) {
            text = String(truth)
        }
    }
}
