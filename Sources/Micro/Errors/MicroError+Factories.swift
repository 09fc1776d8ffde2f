extension MicroError {
    /// The request is wrong, whatever the state of the service: ``Code/invalidArgument``.
    ///
    /// - Parameters:
    ///   - id: Where: "orders.create".
    ///   - detail: What is wrong and what would be right: "must be positive".
    ///   - field: The path of the field that is wrong, "items[2].price"; it becomes
    ///     `metadata["field"]`.
    ///   - reason: For programs, UPPER_SNAKE.
    ///   - metadata: More for programs.
    public static func invalid(
        _ id: String, _ detail: String, at field: String? = nil, reason: String = "",
        metadata: [String: String] = [:]
    ) -> MicroError {
        var error = MicroError(id, .invalidArgument, detail, reason: reason, metadata: metadata)
        if let field { error.metadata["field"] = field }
        return error
    }

    /// There is no such thing. Makes an error with ``Code/notFound``.
    public static func notFound(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .notFound, detail, reason: reason, metadata: metadata)
    }

    /// The thing to be made is there. Makes an error with ``Code/alreadyExists``.
    public static func alreadyExists(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .alreadyExists, detail, reason: reason, metadata: metadata)
    }

    /// The state changed since the caller read it. Makes an error with ``Code/conflict``.
    public static func conflict(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .conflict, detail, reason: reason, metadata: metadata)
    }

    /// The caller is known and may not. Makes an error with ``Code/permissionDenied``.
    public static func permissionDenied(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .permissionDenied, detail, reason: reason, metadata: metadata)
    }

    /// The caller is not known. Makes an error with ``Code/unauthenticated``.
    public static func unauthenticated(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .unauthenticated, detail, reason: reason, metadata: metadata)
    }

    /// A quota or a limit is used up. Makes an error with ``Code/resourceExhausted``.
    public static func resourceExhausted(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .resourceExhausted, detail, reason: reason, metadata: metadata)
    }

    /// The service is not in the state that the request needs. Makes an error with
    /// ``Code/failedPrecondition``.
    public static func failedPrecondition(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .failedPrecondition, detail, reason: reason, metadata: metadata)
    }

    /// Another request got in between. Makes an error with ``Code/aborted``.
    public static func aborted(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .aborted, detail, reason: reason, metadata: metadata)
    }

    /// Beyond the valid range. Makes an error with ``Code/outOfRange``.
    public static func outOfRange(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .outOfRange, detail, reason: reason, metadata: metadata)
    }

    /// Nobody serves this. Makes an error with ``Code/unimplemented``.
    public static func unimplemented(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .unimplemented, detail, reason: reason, metadata: metadata)
    }

    /// A defect of the service. Makes an error with ``Code/internal``.
    public static func internalError(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .internal, detail, reason: reason, metadata: metadata)
    }

    /// The service can't answer now. Makes an error with ``Code/unavailable``.
    public static func unavailable(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .unavailable, detail, reason: reason, metadata: metadata)
    }

    /// Data was lost or damaged. Makes an error with ``Code/dataLoss``.
    public static func dataLoss(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .dataLoss, detail, reason: reason, metadata: metadata)
    }

    /// The time ran out. Makes an error with ``Code/deadlineExceeded``.
    public static func timeout(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .deadlineExceeded, detail, reason: reason, metadata: metadata)
    }

    /// The caller gave up. Makes an error with ``Code/cancelled``.
    public static func cancelled(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .cancelled, detail, reason: reason, metadata: metadata)
    }

    /// No codec for what was sent. Makes an error with ``Code/unsupportedMediaType``.
    public static func unsupportedMediaType(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .unsupportedMediaType, detail, reason: reason, metadata: metadata)
    }

    /// No codec that the caller reads. Makes an error with ``Code/notAcceptable``.
    public static func notAcceptable(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .notAcceptable, detail, reason: reason, metadata: metadata)
    }

    /// The message is larger than the limit. Makes an error with ``Code/payloadTooLarge``.
    public static func payloadTooLarge(
        _ id: String, _ detail: String, reason: String = "", metadata: [String: String] = [:]
    ) -> MicroError {
        MicroError(id, .payloadTooLarge, detail, reason: reason, metadata: metadata)
    }
}
