extension MicroError {
    /// The error as the original writes it: `{"id","detail","status","code"}`, where `status` is
    /// the text and `code` the number of the HTTP status, with `reason` and `metadata` where there
    /// are any, and `name` where the number doesn't say which ``Code`` it is.
    public var json: [UInt8] {
        var object = JSONWriter()
        object.field("id", id)
        object.field("detail", detail)
        object.field("status", code.httpText)
        object.field("code", code.http)
        if Code(http: code.http) != code { object.field("name", code.name) }
        writeExtras(to: &object)
        return object.finish()
    }

    /// The error as a problem of RFC 9457, to be sent as ``ContentType/problem``.
    public var problemJSON: [UInt8] {
        var object = JSONWriter()
        object.field("type", "about:blank")
        object.field("title", code.httpText)
        object.field("status", code.http)
        object.field("detail", detail)
        object.field("id", id)
        object.field("code", code.name)
        writeExtras(to: &object)
        return object.finish()
    }

    /// The error in the bytes that ``json`` or ``problemJSON`` wrote, or that another service wrote
    /// as a problem of RFC 9457. Unknown fields are passed over.
    ///
    /// - Parameters:
    ///   - bytes: The body of an answer.
    ///   - status: The HTTP status that came with it, used where the body has none.
    /// - Returns: nil when it is no JSON object that describes an error.
    public init?(json bytes: RawSpan, status: Int? = nil) {
        guard let body = try? JSONCodec().decode(ErrorBody.self, from: bytes), body.describesError
        else { return nil }
        let code =
            body.name.flatMap(Code.init(name:)) ?? body.code?.text.flatMap(Code.init(name:))
            ?? (body.code?.number ?? body.status?.number ?? status).map(Code.init(http:))
        self.init(
            body.id ?? body.instance ?? "", code ?? .unknown, body.detail ?? body.title ?? "",
            reason: body.reason ?? "", metadata: body.metadata,
            retryable: body.retryable == false ? false : nil)
    }

    private func writeExtras(to object: inout JSONWriter) {
        if !reason.isEmpty { object.field("reason", reason) }
        if !metadata.isEmpty { object.field("metadata", metadata) }
        if retryable == false { object.field("retryable", false) }
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
