internal import Micro
internal import Synchronization

/// The token that etcd knows a user by: got when it is first needed, by one call, whoever else
/// needs it at that moment.
final class EtcdTokens: Sendable {
    private let environment: Environment
    private let state = Mutex<Latch<String?>?>(nil)

    init(environment: Environment) { self.environment = environment }

    /// The token; nil when etcd does not ask who calls.
    ///
    /// - Parameter authenticate: Gets one. What it throws all get that wait; those that come later
    ///   try anew.
    func current(
        _ authenticate: @escaping @Sendable () async throws -> String?
    ) async throws -> String? {
        let (latch, isMine) = state.withLock { state in
            if let latch = state { return (latch, false) }
            let latch = Latch<String?>()
            state = latch
            return (latch, true)
        }
        if isMine {
            Context.unbound {
                _ = environment.spawn {
                    do {
                        latch.set(.success(try await authenticate()))
                    } catch {
                        self.drop(latch)
                        latch.set(.failure(error))
                    }
                }
            }
        }
        return try await latch.wait()
    }

    /// Forgets `token` when it is still the one, and `failure` says that it is of no use.
    ///
    /// - Returns: Whether another attempt may go better.
    func forget(_ token: String?, after failure: MicroError, alsoWhenDenied: Bool = false) -> Bool {
        let isDenied = alsoWhenDenied && failure.reason == EtcdReason.permissionDenied
        guard EtcdFailure.asksForToken(failure) || isDenied else { return false }
        state.withLock { state in
            if case .success(token)? = state?.result { state = nil }
        }
        return true
    }

    private func drop(_ latch: Latch<String?>) {
        state.withLock { state in
            if state === latch { state = nil }
        }
    }
}
