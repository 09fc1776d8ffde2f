extension MicroError {
    /// Turns any error into a `MicroError` that may be sent to a remote caller.
    ///
    /// - A `MicroError` stays what it is; an empty ``id`` is filled in.
    /// - `CancellationError` becomes ``Code/cancelled``.
    /// - `DecodingError` becomes ``Code/invalidArgument`` and names the field.
    /// - `EncodingError` becomes ``Code/internal`` and names the field.
    /// - Anything else becomes ``Code/internal`` with the name of its type only: its text may hold
    ///   what a caller should not see. The text is kept in ``underlying``.
    ///
    /// - Parameters:
    ///   - error: What was thrown.
    ///   - id: Where: "orders.create".
    public init(_ error: any Error, id: String) {
        switch error {
        case let error as MicroError:
            self = error
            if self.id.isEmpty { self.id = id }
        case is CancellationError:
            self.init(id, .cancelled, "cancelled before it was done")
        case let error as DecodingError:
            self.init(decoding: error, id: id)
        case let error as EncodingError:
            self.init(encoding: error, id: id)
        default:
            self.init(id, .internal, String(describing: type(of: error)))
            underlying = String(describing: error).shortened(to: Self.underlyingCharactersMax)
        }
    }

    /// Enough for a message with a nested cause, too little to fill a log with one error.
    private static let underlyingCharactersMax = 4096

    private init(decoding error: DecodingError, id: String) {
        let path: String
        let what: String
        switch error {
        case .keyNotFound(let key, let context):
            path = fieldPath(context.codingPath + [key])
            what = "is missing"
        case .valueNotFound(let type, let context):
            path = fieldPath(context.codingPath)
            what = "is null, but must be \(nameForPeople(type))"
        case .typeMismatch(let type, let context):
            path = fieldPath(context.codingPath)
            what = "must be \(nameForPeople(type))\(inParentheses(context.debugDescription))"
        case .dataCorrupted(let context):
            path = fieldPath(context.codingPath)
            what = "is not valid\(inParentheses(context.debugDescription))"
        @unknown default:
            path = ""
            what = "is not valid"
        }
        self = .invalid(
            id, "\(path.isEmpty ? "the message" : path) \(what)", at: path.isEmpty ? nil : path)
        underlying = String(describing: error).shortened(to: Self.underlyingCharactersMax)
    }

    private init(encoding error: EncodingError, id: String) {
        var path = ""
        var what = "can't be encoded"
        if case .invalidValue(let value, let context) = error {
            path = fieldPath(context.codingPath)
            what = "can't be encoded: its \(type(of: value)) has no form in this codec"
        }
        self = .internalError(id, "\(path.isEmpty ? "the message" : path) \(what)")
        if !path.isEmpty { metadata["field"] = path }
        underlying = String(describing: error).shortened(to: Self.underlyingCharactersMax)
    }
}

/// "items[2].price". Keys of dictionaries come from the caller, so the length is bounded.
private func fieldPath(_ keys: [any CodingKey]) -> String {
    var path = ""
    for key in keys {
        if let index = key.intValue {
            path += "[\(index)]"
        } else {
            path += path.isEmpty ? key.stringValue : ".\(key.stringValue)"
        }
        if path.utf8.count > 1024 { break }
    }
    return path.shortened(to: 256)
}

/// A decoder's own words may quote the value that it refused: as much as names the problem.
private func inParentheses(_ text: String) -> String {
    text.isEmpty ? "" : " (\(text.shortened(to: 200)))"
}

private func nameForPeople(_ type: Any.Type) -> String {
    switch type {
    case is any FixedWidthInteger.Type: "a whole number that fits \(type)"
    case is any BinaryFloatingPoint.Type: "a number"
    case is Bool.Type: "true or false"
    case is String.Type: "a string"
    case is [String: Any].Type: "an object"
    case is [Any].Type: "a list"
    default: "of the type \(type)"
    }
}
