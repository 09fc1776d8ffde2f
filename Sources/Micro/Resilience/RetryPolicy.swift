/// When a call is tried again. Another node is preferred; the deadline covers all attempts.
///
/// Before the next attempt on the same node there is a pause with full jitter, up to 25 ms, doubled
/// each time; before one on another node there is none. A node that asks for a pause
/// (`grpc-retry-pushback-ms`, gRPC proposal A6) is given it. When no node that is known can be
/// reached, the nodes are looked up again, and those that are new are tried: with what is left of
/// the attempts, once at least.
public struct RetryPolicy: Sendable, Hashable, Codable {
    /// How often a call is tried in all, 1 to 5.
    public let attempts: Int
    /// Whether it may be sent again when it may have been processed.
    public let isIdempotent: Bool

    /// One attempt.
    public static let never = RetryPolicy(attempts: 1, isIdempotent: false)

    /// Only when the request was provably not processed: it could not be connected or written, or
    /// the node refused it. The default.
    /// - Parameter attempts: In all, 1 to 5.
    public static func unprocessed(attempts: Int) -> RetryPolicy {
        RetryPolicy(attempts: attempts, isIdempotent: false)
    }

    /// Also when the request may have been processed: only for endpoints that may be called twice.
    /// - Parameter attempts: In all, 1 to 5.
    public static func idempotent(attempts: Int) -> RetryPolicy {
        RetryPolicy(attempts: attempts, isIdempotent: true)
    }

    private init(attempts: Int, isIdempotent: Bool) {
        self.attempts = min(max(attempts, 1), 5)
        self.isIdempotent = isIdempotent
    }

    /// "attempts", and "idempotent", which is false when it is missing.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            attempts: try values.decode(Int.self, forKey: .attempts),
            isIdempotent: try values.decodeIfPresent(Bool.self, forKey: .isIdempotent) ?? false)
    }

    private enum CodingKeys: String, CodingKey {
        case attempts
        case isIdempotent = "idempotent"
    }
}
