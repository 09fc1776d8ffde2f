/// From the name of a service to the nodes that offer it.
///
/// A client asks ``updates(for:)`` once for each service it calls, and tells its balancer of every
/// change; ``resolve(_:)`` is for those who want one answer.
public protocol Resolver: Sendable {
    /// The nodes of a service now.
    ///
    /// - Throws: ``MicroError`` — `notFound` when it has none, with where it was looked for and
    ///   what is there; `unavailable` when that could not be asked and was never known.
    func resolve(_ service: String) async throws -> Resolution

    /// The nodes of a service, now and after every change; the newest is all that counts, so a slow
    /// consumer sees fewer of them. A service that has no nodes is a resolution without nodes.
    func updates(for service: String) -> ResolverUpdates

    /// Asks again where the nodes come from, whatever is remembered.
    ///
    /// - Throws: As ``resolve(_:)``.
    @discardableResult
    func refresh(_ service: String) async throws -> Resolution

    /// Where the nodes come from, for people: "the local register /run/user/1000/micro/…".
    func describe() -> String

    /// Ends all updates and frees what it holds; not what it asks. Idempotent.
    func close() async
}

extension Resolver {
    /// The name of the type.
    public func describe() -> String { "a \(Self.self)" }
}
