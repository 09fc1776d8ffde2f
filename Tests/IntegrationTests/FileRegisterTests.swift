import Foundation
import MicroTesting
import Testing

@testable import Micro

/// Real files, and a clock that is real where the file system tells of changes.
@Suite(.timeLimit(.minutes(2))) struct FileRegisterTests {
    @Test(arguments: RegisterConformance.readOnlyChecks)
    func conforms(_ check: String) async throws {
        try await RegisterConformance(readOnly: Self.source).run([check])
    }

    @Test func conformsInASimulation() async throws {
        try await withSimulation(seed: 3) {
            try await RegisterConformance(readOnly: Self.source).run()
        }
    }

    @Test func itIsOnlyRead() async throws {
        let folder = try TestFolder()
        let register = FileRegister(path: folder.path + "/nodes.json")
        let error = await #expect(throws: MicroError.self) {
            try await register.register(Self.node("a"), ttl: .seconds(1))
        }
        #expect(error?.code == .unimplemented)
        #expect(error?.detail.contains("\(folder.path)/nodes.json is only read") == true)
        await #expect(throws: MicroError.self) { try await register.deregister(Self.node("a")) }
        await register.close()
    }

    @Test func aMistakeChangesNothingAndIsTold() async throws {
        try await withSimulation {
            let folder = try TestFolder()
            let register = FileRegister(path: folder.path + "/nodes.json")
            var events = register.watch("apples").makeAsyncIterator()
            // There is no file yet.
            let missing = await #expect(throws: MicroError.self) {
                try await register.lookup("apples")
            }
            #expect(missing?.code == .unavailable)
            #expect(try #require(await Self.problem(&events)).contains("there is no file"))
            try folder.write(Self.json([Self.node("a")]), to: "nodes.json")
            #expect(await events.next()?.change == .snapshot([Self.node("a")]))
            // Half of it, then with a mistake.
            try folder.write(#"{"nodes": [{"service": "ap"#, to: "nodes.json")
            #expect(await Self.problem(&events) != nil)
            try folder.write(#"{"nodes": [{"service": 1}]}"#, to: "nodes.json")
            #expect(try await register.lookup("apples") == [Self.node("a")])
            // Who comes now is told what was known, and that it may be out of date.
            var late = register.watch("apples").makeAsyncIterator()
            #expect(await late.next()?.change == .snapshot([Self.node("a")]))
            #expect(await Self.problem(&late) != nil)
            try folder.write(Self.json([Self.node("b")]), to: "nodes.json")
            #expect(await events.next()?.change == .snapshot([Self.node("b")]))
            #expect(await late.next()?.change == .snapshot([Self.node("b")]))
            try FileManager.default.removeItem(atPath: folder.path + "/nodes.json")
            #expect(try #require(await Self.problem(&events)).contains("there is no file"))
            #expect(try await register.list().map(\.name) == ["apples"])
            await register.close()
        }
    }

    @Test func watchersThatComeBackDuringAMistakeKnowWhatWasThere() async throws {
        try await withSimulation {
            let folder = try TestFolder()
            let register = FileRegister(path: folder.path + "/nodes.json")
            try folder.write(Self.json([Self.node("a")]), to: "nodes.json")
            #expect(try await register.lookup("apples") == [Self.node("a")])
            try folder.write("{", to: "nodes.json")
            var events = register.watch("apples").makeAsyncIterator()
            #expect(await events.next()?.change == .snapshot([Self.node("a")]))
            let problem = try #require(await Self.problem(&events))
            #expect(problem.contains("nodes.json"))
            await register.close()
        }
    }

    @Test func itIsTheResolverOfAFile() async throws {
        let folder = try TestFolder()
        try folder.write(Self.json([Self.node("a")]), to: "nodes.json")
        let register = try makeRegister(url: "file:\(folder.path)/nodes.json")
        let resolver = RegisterResolver(register: register)
        #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a"])
        var updates = resolver.updates(for: "apples").makeAsyncIterator()
        #expect(await updates.next()?.nodes.map(\.id) == ["a"])
        try folder.write(Self.json([Self.node("a"), Self.node("b")]), to: "nodes.json")
        while let update = await updates.next(), update.nodes.map(\.id) != ["a", "b"] {}
        #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a", "b"])
        await resolver.close()
        await register.close()
    }

    // MARK: Helpers

    @Sendable private static func source() throws -> ReadOnlyRegisterSource {
        let folder = try TestFolder()
        try folder.write(json([]), to: "nodes.json")
        return ReadOnlyRegisterSource(
            register: FileRegister(path: folder.path + "/nodes.json"),
            write: { nodes in
                try folder.write(json(nodes), to: "next.json")
                guard rename(folder.path + "/next.json", folder.path + "/nodes.json") == 0 else {
                    throw TestFailure("rename")
                }
            })
    }

    /// Why the register can't be read; nil when that is not what happens next.
    private static func problem(_ events: inout RegisterEvents.Iterator) async -> String? {
        guard case .interrupted(let error)? = await events.next()?.change else { return nil }
        return error.detail
    }

    private static func node(_ id: String) -> ServiceNode {
        ServiceNode(id: id, service: "apples", version: "1", addresses: ["tcp://127.0.0.1:1"])
    }

    private static func json(_ nodes: [ServiceNode]) throws -> String {
        String(
            decoding: try JSONCodec().encode(Document(nodes: nodes.map(Node.init))), as: UTF8.self)
    }

    private struct Document: Encodable {
        var nodes: [Node]
    }

    private struct Method: Encodable {
        var name, request, reply: String
        var metadata: [String: String]
    }

    private struct Node: Encodable {
        var service, id, version, namespace, zone, state: String
        var addresses, codecs: [String]
        var weight: UInt32
        var metadata: [String: String]
        var methods: [Method]

        init(_ node: ServiceNode) {
            (service, id, version) = (node.service, node.id, node.version)
            (namespace, zone, state) = (node.namespace, node.zone, node.state.description)
            (addresses, codecs, weight) = (node.addresses, node.codecs, node.weight)
            metadata = node.metadata
            methods = node.methods.map {
                Method(
                    name: $0.name, request: $0.request, reply: $0.reply, metadata: $0.metadata)
            }
        }
    }
}
