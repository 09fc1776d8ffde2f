/// What went wrong, where, and what to do about it: the one error of Micro.
///
/// It becomes grpc-status with details for a gRPC client, an HTTP status with problem+json for
/// curl, and the same `MicroError` again for our own client. ``description`` is one line for
/// people.
///
/// What travels is ``id``, ``code``, ``detail``, ``reason``, ``metadata`` and a `retryable: false`
/// given by hand. ``wasWritten``, ``underlying`` and a `retryable: true` stay on this side: they
/// speak of the request that this side made, and a handler may rethrow the error to a caller whose
/// own request has done other work. Two errors are equal when all of their
/// fields are; to ask for the kind, use ``matches(_:)``.
public struct MicroError: Error, Sendable, Hashable {
    /// Where it happened: "orders.create". Dotted, lower case, without values.
    public var id: String

    /// The kind of error, with its gRPC and HTTP status.
    public var code: Code

    /// What happened and what to do, for people. It is sent to the caller: no secrets.
    public var detail: String

    /// For programs: UPPER_SNAKE, stable, "" when the code says enough.
    public var reason: String

    /// More for programs, sent to the caller. "field" is the path of the field that was refused.
    public var metadata: [String: String]

    /// On the client: the request may have reached a node, so that it may have been processed.
    public var wasWritten: Bool

    /// The full text of what caused it, for logs on this side only; "" when there is none.
    public var underlying: String

    /// What was decided by hand; nil: ``isRetryable`` is derived.
    var retryable: Bool?

    /// Makes an error.
    ///
    /// - Parameters:
    ///   - id: Where it happened: "orders.create".
    ///   - code: The kind of error.
    ///   - detail: What happened and what to do. It is sent to the caller.
    ///   - reason: For programs, UPPER_SNAKE; "" when the code says enough.
    ///   - metadata: More for programs, sent to the caller.
    ///   - wasWritten: On the client: the request may have reached a node.
    ///   - retryable: Overrules what ``isRetryable`` derives; nil derives it.
    public init(
        _ id: String, _ code: Code, _ detail: String, reason: String = "",
        metadata: [String: String] = [:], wasWritten: Bool = false, retryable: Bool? = nil
    ) {
        self.id = id
        self.code = code
        self.detail = detail
        self.reason = reason
        self.metadata = metadata
        self.wasWritten = wasWritten
        self.underlying = ""
        self.retryable = retryable
    }

    /// Whether the same request may be sent again without doing its work twice.
    ///
    /// What `init(retryable:)` said; otherwise true for ``Code/unavailable`` as long as the request
    /// was not written. A request that is safe to repeat by its nature is the caller's to know.
    public var isRetryable: Bool { retryable ?? (code == .unavailable && !wasWritten) }

    /// Whether this is an error of the kind `code`.
    ///
    /// A code that refines a gRPC code is of that kind too: ``Code/methodNotAllowed`` matches
    /// ``Code/unimplemented``, but not the other way.
    public func matches(_ code: Code) -> Bool {
        self.code == code || Code(rpc: self.code.rpc) == code
    }
}

extension MicroError: CustomStringConvertible, CustomDebugStringConvertible {
    /// One line: "NOT_FOUND at orders.get: no order 7 (reason=GONE, order=7)".
    ///
    /// Control characters are escaped, so that a remote text can't forge log lines.
    public var description: String {
        var line = code.name
        if !id.isEmpty { line += " at \(id)" }
        line += ": \(detail.isEmpty ? code.advice : detail)"
        var facts = reason.isEmpty ? [] : ["reason=\(reason)"]
        facts += metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        if !facts.isEmpty { line += " (\(facts.joined(separator: ", ")))" }
        if isRetryable {
            line += "; it is safe to try again"
        } else if wasWritten {
            line += "; the request may have been processed"
        }
        return line.onSingleLine
    }

    /// ``description`` and, where there is one, the full text of the cause: for logs on this side.
    public var debugDescription: String {
        underlying.isEmpty ? description : "\(description); cause: \(underlying.onSingleLine)"
    }
}
