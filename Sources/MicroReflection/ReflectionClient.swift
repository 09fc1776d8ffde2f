package import Micro

/// Asks a gRPC server what it serves, by `grpc.reflection.v1`, or `v1alpha` where that is all it
/// has.
package struct ReflectionClient: Sendable {
    /// Nobody imports so many.
    private static let filesMax = 10_000

    private let client: Client
    private let service: String
    private let options: CallOptions

    /// - Parameters:
    ///   - service: The service as it stands in the register; of no account with an address.
    ///   - options: Address, metadata and timeout of the calls.
    package init(_ client: Client, _ service: String, options: CallOptions) {
        self.client = client
        self.service = service
        self.options = options
    }

    /// The names of what is served.
    ///
    /// - Throws: ``MicroError``: unimplemented when the server has no reflection.
    package func services() async throws -> [String] {
        try await ask { talk in
            guard case .services(let names) = try await talk.answer(to: .services) else {
                throw Self.strange("the services")
            }
            return names
        }
    }

    /// The files that define `symbols`, and all that they import.
    ///
    /// - Throws: ``MicroError``: notFound when one is not described, unimplemented when the server
    ///   has no reflection.
    package func files(defining symbols: [String]) async throws -> [FileDescriptor] {
        try await ask { talk in
            var files: [String: FileDescriptor] = [:]
            for symbol in symbols {
                do {
                    try await talk.add(.fileContaining(symbol: symbol), to: &files)
                } catch let error as MicroError where error.code == .notFound {
                    throw MicroError.notFound(
                        "reflection", "the server does not describe \(symbol): \(error.detail)")
                }
            }
            var asked: Set<String> = []
            while let name = files.values.lazy.flatMap(\.dependencies).first(where: {
                files[$0] == nil && !asked.contains($0)
            }) {
                asked.insert(name)
                // A server without some file may well be understood without it.
                do {
                    try await talk.add(.file(named: name), to: &files)
                } catch let error as MicroError where error.code == .notFound {}
            }
            return Array(files.values)
        }
    }

    private func ask<Value: Sendable>(
        _ body: @escaping @Sendable (Talk) async throws -> Value
    ) async throws -> Value {
        do {
            return try await ask("v1", body)
        } catch let error as MicroError where error.code == .unimplemented {
            return try await ask("v1alpha", body)
        }
    }

    private func ask<Value: Sendable>(
        _ version: String, _ body: @escaping @Sendable (Talk) async throws -> Value
    ) async throws -> Value {
        try await client.exchange(
            service, "grpc.reflection.\(version).ServerReflection/ServerReflectionInfo",
            writing: WireCoding<ReflectionRequest>(),
            reading: WireCoding<ReflectionResponse>(), options: options
        ) { out, replies in
            let value = try await body(Talk(out: out, replies: replies))
            try await out.finish()
            return value
        }
    }

    private static func strange(_ what: String) -> MicroError {
        MicroError("reflection", .internal, "the server answered something else than \(what)")
    }

    /// Questions and answers on one stream.
    private struct Talk: Sendable {
        let out: Outbound<ReflectionRequest>
        let replies: Inbound<ReflectionResponse>

        func answer(
            to question: ReflectionRequest.Question
        ) async throws -> ReflectionResponse.Answer? {
            try await out.send(ReflectionRequest(question))
            var iterator = replies.makeAsyncIterator()
            guard let response = try await iterator.next() else {
                throw MicroError("reflection", .internal, "the server ended without an answer")
            }
            if case .failure(let code, let message) = response.answer {
                throw MicroError("reflection", MicroError.Code(rpc: code), message)
            }
            return response.answer
        }

        func add(
            _ question: ReflectionRequest.Question, to files: inout [String: FileDescriptor]
        ) async throws {
            guard case .files(let list) = try await answer(to: question) else {
                throw strange("files")
            }
            guard files.count + list.count <= filesMax else {
                throw MicroError(
                    "reflection", .resourceExhausted, "there are more than \(filesMax) files")
            }
            for bytes in list {
                do {
                    let file = try FileDescriptor(protobuf: bytes)
                    files[file.name] = file
                } catch {
                    throw MicroError(
                        "reflection", .internal,
                        "the server describes a file that can't be read: \(error.what)")
                }
            }
        }
    }
}
