internal import ArgumentParser
internal import Micro

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// What goes along with a call.
struct HeaderOptions: ParsableArguments {
    @Option(
        name: [.customShort("H"), .customLong("header")],
        help: "Metadata \"name: value\", repeatable; base64 for -bin.")
    var lines: [String] = []

    func metadata() throws -> Metadata {
        var metadata = Metadata()
        for line in lines { try metadata.append(header: line) }
        return metadata
    }
}

/// Whether a name is an address: a colon can't be in the name of a service.
func isAddress(_ name: String) -> Bool { name.contains(":") }

/// How long something may take, as a number of seconds says.
func duration(_ option: String, _ seconds: Double) throws -> Duration {
    guard seconds > 0, seconds <= 86_400 else {
        throw ValidationError("\(option) is \(seconds): it must be more than 0 and at most 86400")
    }
    return .nanoseconds(Int64(seconds * 1_000_000_000))
}

extension RegisterOptions {
    /// Opens a client, and closes it after `body`.
    ///
    /// - Parameters:
    ///   - router: Chooses among the nodes.
    ///   - table: Routes that come before the register; nil, or an empty one: only the register
    ///     counts.
    ///   - zone: That of the caller.
    func useClient<T: Sendable>(
        routing router: any Router = DirectRouter(), along table: RouteTable? = nil,
        zone: String = "", _ body: @escaping @Sendable (Client) async throws -> T
    ) async throws -> T {
        try await use { register in
            var options = ClientOptions()
            options.transports = TransportPlugin.configured
            var resolver: any Resolver = RegisterResolver(register: register)
            if let table, table.revision > 0 {
                resolver = RouteTableResolver(
                    table, query: RouteTable.Query(link: nil, ownZone: zone), over: resolver)
            }
            let client = Client(resolver: resolver, router: router, options: options)
            do {
                let result = try await body(client)
                await client.close(grace: .zero)
                return result
            } catch {
                await client.close(grace: .zero)
                throw error
            }
        }
    }
}

extension Metadata {
    /// Adds "name: value".
    fileprivate mutating func append(header line: String) throws {
        guard let colon = line.firstIndex(of: ":") else {
            throw ValidationError("--header \"\(line)\" has no colon: write \"name: value\"")
        }
        let name = String(line[..<colon])
        let value = String(line[line.index(after: colon)...].drop { $0 == " " })
        guard name.lowercased().hasSuffix("-bin") else { return append(name, value) }
        guard let bytes = Data(base64Encoded: value) else {
            throw ValidationError("--header \"\(line)\": a value of a -bin name must be base64")
        }
        append(name, bytes: Array(bytes))
    }
}
