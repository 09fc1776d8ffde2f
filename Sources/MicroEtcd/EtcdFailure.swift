internal import Micro

/// What etcd says when it refuses, as the ``MicroError/reason`` of an error.
public enum EtcdReason {
    /// The revision that was asked for is not kept any more: begin from the present.
    public static let compacted = "COMPACTED"
    /// The revision that was asked for has not come yet: etcd may have lost its data.
    public static let futureRevision = "FUTURE_REVISION"
    /// There is no leader at present; so it is until one is elected.
    public static let noLeader = "NO_LEADER"
    /// There is no such lease: it has ended.
    public static let leaseNotFound = "LEASE_NOT_FOUND"
    /// The user is known and may not.
    public static let permissionDenied = "PERMISSION_DENIED"
    /// The token has expired, or rights have changed since. The client gets itself a new one.
    public static let invalidToken = "INVALID_TOKEN"
    /// etcd wants to know who calls.
    public static let userRequired = "USER_REQUIRED"
    /// The name or the password is wrong.
    public static let wrongPassword = "WRONG_PASSWORD"
    /// etcd does not ask who calls.
    public static let authenticationDisabled = "AUTHENTICATION_DISABLED"
    /// The database is full.
    public static let noSpace = "NO_SPACE"
    /// The request is larger than etcd takes.
    public static let tooLarge = "TOO_LARGE"
    /// The members did not agree in time.
    public static let timedOut = "TIMED_OUT"
}

/// Turns what etcd says into errors that say what to do: pure.
enum EtcdFailure {
    private struct Kind {
        let text: String
        let reason: String
        var code: MicroError.Code?
        let advice: String
    }

    /// Texts of etcd 3.4 and later, behind "etcdserver: ". The code is etcd's own but where it
    /// would mislead.
    private static let kinds = [
        Kind(
            text: "mvcc: required revision has been compacted", reason: EtcdReason.compacted,
            advice: "begin from the present"),
        Kind(
            text: "mvcc: required revision is a future revision",
            reason: EtcdReason.futureRevision, advice: "begin from the present"),
        Kind(
            text: "no leader", reason: EtcdReason.noLeader,
            advice: "try again when its members have elected one"),
        Kind(
            text: "requested lease not found", reason: EtcdReason.leaseNotFound,
            advice: "it has ended"),
        Kind(
            text: "permission denied", reason: EtcdReason.permissionDenied,
            advice: "grant the user the right to these keys"),
        Kind(
            text: "invalid auth token", reason: EtcdReason.invalidToken, code: .unauthenticated,
            advice: "authenticate again"),
        Kind(
            text: "revision of auth store is old", reason: EtcdReason.invalidToken,
            code: .unauthenticated, advice: "authenticate again"),
        Kind(
            text: "user name is empty", reason: EtcdReason.userRequired, code: .unauthenticated,
            advice: "give a user and a password"),
        Kind(
            text: "authentication failed", reason: EtcdReason.wrongPassword,
            code: .unauthenticated, advice: "give the right user and password"),
        Kind(
            text: "authentication is not enabled", reason: EtcdReason.authenticationDisabled,
            advice: "leave out user and password"),
        Kind(
            text: "mvcc: database space exceeded", reason: EtcdReason.noSpace,
            advice: "compact and defragment it, and disarm its alarm"),
        Kind(
            text: "request is too large", reason: EtcdReason.tooLarge,
            advice: "write less, or raise its --max-request-bytes"),
        Kind(
            text: "request timed out", reason: EtcdReason.timedOut,
            advice: "look whether most of its members are up"),
    ]

    private static let mark = "etcdserver: "

    /// - Parameters:
    ///   - operation: "etcd.put".
    ///   - place: "etcd at 127.0.0.1:2379".
    static func explain(_ error: MicroError, _ operation: String, at place: String) -> MicroError {
        // What a caller's own code has thrown passes, and what is explained already.
        guard error.id.hasPrefix(EtcdClient.service + "/") else { return error }
        var failure = error
        failure.id = operation
        guard let found = error.detail.firstRange(of: mark) else {
            failure.detail = "\(place): \(error.detail)"
            return failure
        }
        let text = error.detail[found.upperBound...]
        let kind = kinds.first { text.hasPrefix($0.text) }
        failure.detail = "\(place): \(text)" + (kind.map { ": \($0.advice)" } ?? "")
        failure.reason = kind?.reason ?? ""
        failure.code = kind?.code ?? error.code
        return failure
    }

    /// The same for a watch that etcd ends, which says why in a text.
    static func ofWatch(
        _ reason: String, compactRevision: Int64, at place: String
    ) -> MicroError {
        if compactRevision > 0 {
            var failure = refusal(
                "mvcc: required revision has been compacted", .outOfRange, at: place)
            failure.metadata["compact_revision"] = "\(compactRevision)"
            return failure
        }
        let text = reason.firstRange(of: mark).map { String(reason[$0.upperBound...]) } ?? reason
        if text.hasPrefix("permission denied") {
            return refusal(text, .permissionDenied, at: place)
        }
        return refusal(text.isEmpty ? "the watch was cancelled" : text, .unavailable, at: place)
    }

    private static func refusal(
        _ text: String, _ code: MicroError.Code, at place: String
    ) -> MicroError {
        explain(
            MicroError("\(EtcdClient.service)/watch", code, mark + text), "etcd.watch", at: place)
    }

    /// Whether a new token may help.
    static func asksForToken(_ error: MicroError) -> Bool {
        [EtcdReason.invalidToken, EtcdReason.userRequired].contains(error.reason)
    }
}
