import Foundation
import Micro
import MicroEtcd
import MicroTesting
import Synchronization
import Testing

extension EndToEnd {
    /// The register on a real etcd: the contract, and what happens when etcd is cut off, halted,
    /// killed, or loses what it knew.
    @Suite struct EtcdRegisterTests {
        private static let hour = Duration.seconds(3600)

        private func node(_ id: String, _ service: String = "apples") -> ServiceNode {
            ServiceNode(id: id, service: service, addresses: ["tcp://127.0.0.1:9"])
        }

        private func snapshot(
            _ events: RegisterEvents, sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> [ServiceNode] {
            let event = try await next(events)
            guard case .snapshot(let nodes) = event else {
                throw TestFailure("no snapshot but \(event)")
            }
            return nodes
        }

        /// The next event; one about an outage is passed over.
        private func next(_ events: RegisterEvents) async throws -> RegisterEvent.Change {
            let event = try await withThrowingTaskGroup(of: RegisterEvent.Change?.self) { group in
                group.addTask {
                    var iterator = events.makeAsyncIterator()
                    while let event = await iterator.next() {
                        if case .interrupted = event.change { continue }
                        return event.change
                    }
                    return nil
                }
                group.addTask {
                    try await Task.sleep(for: patience)
                    throw TestFailure("no event came")
                }
                defer { group.cancelAll() }
                return try await group.next() ?? nil
            }
            guard let event else { throw TestFailure("the watch has ended") }
            return event
        }

        @Test func conforms() async throws {
            try await Etcd.run { etcd in
                let number = Mutex(0)
                let options = etcd.options
                try await RegisterConformance(shortTTL: .seconds(2), patience: patience) {
                    var options = options
                    options.keyPrefix = "/check-\(number.withLock { $0 += 1; return $0 })"
                    return EtcdRegister(options)
                }.run()
            }
        }

        @Test func aNodeBelongsToWhoRegisteredItLast() async throws {
            try await Etcd.run { etcd in
                let (here, there) = (EtcdRegister(etcd.options), EtcdRegister(etcd.options))
                let node = node("a")
                try await here.register(node, ttl: Self.hour)
                // Only its owner takes a node out, so a late goodbye cannot remove a successor.
                try await there.deregister(node)
                #expect(try await there.lookup("apples") == [node])
                try await there.register(node, ttl: Self.hour)
                // The former owner is told, and does not take it back.
                for _ in 0..<2 {
                    let error = await failure { try await here.register(node, ttl: Self.hour) }
                    #expect(error?.code == .alreadyExists)
                }
                try await there.register(node, ttl: Self.hour)
                try await here.deregister(node)
                #expect(try await here.lookup("apples") == [node])
                await there.close()
                #expect(try await here.lookup("apples") == [])
                await here.close()
            }
        }

        @Test func aLostLeaseIsGrantedAgain() async throws {
            try await Etcd.run { etcd in
                let (client, register) = (try await etcd.client(), EtcdRegister(etcd.options))
                let node = node("a")
                let events = register.watch("apples")
                #expect(try await snapshot(events) == [])
                try await register.register(node, ttl: Self.hour)
                #expect(try await next(events) == .added(node))

                let key = EtcdRegister.standardPrefix + "/micro/apples/a"
                let lease = try #require(try await client.get(key)?.lease)
                #expect(try await client.timeToLive(ofLease: lease)?.grantedSeconds == 3600)
                try await client.revokeLease(lease)
                #expect(try await next(events) == .removed(node))
                #expect(try await next(events) == .added(node))
                #expect(try await client.get(key)?.lease != lease)

                // A key that somebody deletes comes back, too, with the lease that it had.
                try await client.delete(.key(key))
                #expect(try await next(events) == .removed(node))
                #expect(try await next(events) == .added(node))

                try await register.deregister(node)
                #expect(try await next(events) == .removed(node))
                #expect(try await client.get(key) == nil)
                await register.close()
                await client.close()
            }
        }
    }
}
