public import Logging
public import Micro
internal import MicroProtobuf
internal import SwiftProtobuf

/// A client of etcd 3.4 and later, over gRPC.
///
/// It has no connection before its first call. Every call has a deadline, and goes to another
/// member when one can't be reached. Where etcd asks who calls, the client authenticates itself,
/// and again when its token has expired.
///
/// All calls throw ``MicroError``: what etcd says, with an ``EtcdReason``; `unavailable` when no
/// member can be reached; `deadlineExceeded` when none has answered in time, and then a write may
/// have been done; `cancelled` as soon as the task is. Safe to use from any thread.
public final class EtcdClient: Sendable {
    /// The name of the service in the client's own resolver, and in its metrics.
    static let service = "etcd"

    let options: EtcdOptions
    private let problems: [String]
    let environment: Environment
    /// What every key begins with.
    let prefix: [UInt8]
    let client: Client
    private let tokens: EtcdTokens?
    private let keepers: EtcdLeaseStream

    /// A client that connects when it is first used.
    ///
    /// - Parameters:
    ///   - options: Where etcd is. What can't be used is thrown by the first call.
    ///   - environment: Its clock, its loops.
    public init(
        _ options: EtcdOptions = EtcdOptions(), environment: Environment = .current,
        logger: Logger = Logger(label: "micro.etcd")
    ) {
        let client = Client(
            resolver: StaticResolver(addresses: [Self.service: options.addresses]),
            options: options.clientOptions, environment: environment, logger: logger)
        self.options = options
        self.problems = options.problems
        self.environment = environment
        self.prefix = Array(options.keyPrefix.utf8)
        self.client = client
        self.tokens = options.user.isEmpty ? nil : EtcdTokens(environment: environment)
        self.keepers = EtcdLeaseStream(timeout: options.timeout, environment: environment)
    }

    /// "etcd at 10.0.0.1:2379,10.0.0.2:2379".
    public func describe() -> String { options.place }

    /// Cancels what is in flight and closes every connection. Idempotent.
    public func close() async {
        stop()
        await client.close(grace: .zero)
    }

    /// Lets go of the stream that keeps leases alive.
    func stop() { keepers.close() }

    // MARK: Leases

    /// Starts the time of a lease anew. All leases of a client share one stream.
    ///
    /// - Returns: Its time to live in seconds; 0 when there is no such lease any more.
    /// - Throws: ``MicroError``.
    public func keepAlive(lease id: Int64) async throws -> Int64 {
        do {
            return try await keepers.keepAlive(id) { [self] body in
                try await stream("etcd.keepAlive", leases.leaseKeepAlive, body)
            }
        } catch {
            throw explain(error, "etcd.keepAlive")
        }
    }

    // MARK: How calls are made

    var keys: Etcdserverpb_KVEndpoints { Etcdserverpb_KVEndpoints(service: Self.service) }
    var leases: Etcdserverpb_LeaseEndpoints { Etcdserverpb_LeaseEndpoints(service: Self.service) }
    var watches: Etcdserverpb_WatchEndpoints {
        Etcdserverpb_WatchEndpoints(service: Self.service)
    }

    /// Calls etcd, and once more with a new token when the old one has expired: etcd looks at it
    /// before it does anything.
    ///
    /// - Parameter isRead: It may be tried again on another member although it was written.
    func ask<Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message>(
        _ operation: String, _ endpoint: Endpoint<Request, Reply>, _ request: Request,
        isRead: Bool = false
    ) async throws -> Reply {
        try check()
        var call = CallOptions()
        if isRead {
            call.retry = .idempotent(attempts: 3)
            // A member that hangs leaves time for another one.
            if options.endpoints.count > 1 { call.attemptTimeout = options.timeout / 3 }
        }
        let token = try await token()
        call.metadata["token"] = token
        do {
            return try await client.call(endpoint, request, options: call)
        } catch {
            let failure = explain(error, operation)
            guard tokens?.forget(token, after: failure) == true else { throw failure }
        }
        call.metadata["token"] = try await self.token()
        do {
            return try await client.call(endpoint, request, options: call)
        } catch {
            throw explain(error, operation)
        }
    }

    /// Opens a stream for as long as `body` runs, on a member that has a leader.
    func stream<
        Request: SwiftProtobuf.Message, Reply: SwiftProtobuf.Message, Value: Sendable
    >(
        _ operation: String, _ endpoint: Endpoint<Request, Reply>,
        _ body: @escaping @Sendable (Outbound<Request>, Inbound<Reply>) async throws -> Value
    ) async throws -> Value {
        try check()
        let token = try await token()
        var metadata: Metadata = ["hasleader": "true"]
        metadata["token"] = token
        do {
            return try await client.exchange(
                endpoint, options: CallOptions(metadata: metadata), body)
        } catch {
            let failure = explain(error, operation)
            // Whoever opens it again gets a new one. An expired token is refused as if the rights
            // were missing.
            _ = tokens?.forget(token, after: failure, alsoWhenDenied: true)
            throw failure
        }
    }

    func explain(_ error: any Error, _ operation: String) -> MicroError {
        EtcdFailure.explain(MicroError(error, id: operation), operation, at: options.place)
    }

    private func check() throws {
        guard problems.isEmpty else {
            throw MicroError.invalid("etcd", problems.joined(separator: "; "))
        }
    }

    /// nil when etcd does not ask who calls.
    private func token() async throws -> String? {
        guard let tokens else { return nil }
        return try await tokens.current { [self] in
            let request = Etcdserverpb_AuthenticateRequest.with {
                $0.name = options.user
                $0.password = options.password
            }
            let endpoint = Etcdserverpb_AuthEndpoints(service: Self.service).authenticate
            do {
                return try await client.call(endpoint, request).token
            } catch {
                let failure = explain(error, "etcd.authenticate")
                if failure.reason == EtcdReason.authenticationDisabled { return nil }
                throw failure
            }
        }
    }

    /// The status of a member: without an endpoint, of whichever answers.
    ///
    /// - Parameter endpoint: One of ``EtcdOptions/endpoints``.
    /// - Throws: ``MicroError``.
    public func status(of endpoint: String? = nil) async throws -> EtcdStatus {
        var call = CallOptions(retry: .idempotent(attempts: 3))
        if let endpoint {
            guard let address = EtcdEndpoint(endpoint) else {
                throw MicroError.invalid(
                    "etcd.status", "\(RegisterName.excerpt(endpoint)) is not an endpoint")
            }
            call.address = (options.tls == nil ? "tcp://" : "tls://") + address.text
        }
        try check()
        do {
            let status = try await client.call(
                Etcdserverpb_MaintenanceEndpoints(service: Self.service).status,
                Etcdserverpb_StatusRequest(), options: call)
            return EtcdStatus(
                header: EtcdHeader(status.header), version: status.version,
                leader: status.leader, databaseBytes: status.dbSize, alarms: status.errors)
        } catch {
            throw explain(error, "etcd.status")
        }
    }
}
