import Foundation
import Micro
import SwiftProtobuf
import Testing

@testable import MicroEtcd

extension EndToEnd {
    /// Our client against a server that we did not write, in another language: etcd.
    @Suite struct EtcdTests {
        /// Starts etcd, calls `body` with a client and the options that lead to it, and stops it.
        private func withEtcd(
            _ body: (Client, CallOptions) async throws -> Void
        ) async throws {
            try await Etcd.run { etcd in
                let calls = Client(resolver: StaticResolver(addresses: [:]))
                let options = CallOptions(
                    timeout: .seconds(60), address: "tcp://\(etcd.endpoint)")
                try await body(calls, options)
                await calls.close()
            }
        }

        @Test func keysAndValues() async throws {
            try await withEtcd { client, options in
                let keys = Etcdserverpb_KVClient(client, service: "etcd", options: options)
                for n in 0..<100 {
                    _ = try await keys.put(
                        .with {
                            $0.key = Data("k/\(n)".utf8)
                            $0.value = Data(repeating: UInt8(n), count: 1000)
                        })
                }
                let found = try await keys.range(
                    .with {
                        $0.key = Data("k/".utf8)
                        $0.rangeEnd = Data("k0".utf8)
                    })
                #expect(found.count == 100)
                #expect(found.kvs.count == 100)
                #expect(found.kvs.allSatisfy { $0.value.count == 1000 })
                let deleted = try await keys.deleteRange(.with { $0.key = Data("k/7".utf8) })
                #expect(deleted.deleted == 1)
                // What it refuses is an error with its own words.
                let error = await #expect(throws: MicroError.self) {
                    _ = try await keys.range(.with { _ in })
                }
                #expect(error?.code == .invalidArgument)
                #expect(error?.detail.contains("key is not provided") == true)
            }
        }

        @Test func leasesAreKeptAliveOnAStream() async throws {
            try await withEtcd { client, options in
                let leases = Etcdserverpb_LeaseClient(client, service: "etcd", options: options)
                let keys = Etcdserverpb_KVClient(client, service: "etcd", options: options)
                let lease = try await leases.leaseGrant(.with { $0.ttl = 60 })
                #expect(lease.id != 0)
                _ = try await keys.put(
                    .with {
                        $0.key = Data("owner".utf8)
                        $0.value = Data("me".utf8)
                        $0.lease = lease.id
                    })
                let renewed = try await leases.leaseKeepAlive { out, replies in
                    var renewed: [Int64] = []
                    var iterator = replies.makeAsyncIterator()
                    for _ in 0..<3 {
                        try await out.send(.with { $0.id = lease.id })
                        if let reply = try await iterator.next() { renewed.append(reply.ttl) }
                    }
                    try await out.finish()
                    while try await iterator.next() != nil {}
                    return renewed
                }
                #expect(renewed == [60, 60, 60])
                _ = try await leases.leaseRevoke(.with { $0.id = lease.id })
                let gone = try await keys.range(.with { $0.key = Data("owner".utf8) })
                #expect(gone.count == 0)
            }
        }

        @Test func changesComeOnAStream() async throws {
            try await withEtcd { client, options in
                let watches = Etcdserverpb_WatchClient(client, service: "etcd", options: options)
                let keys = Etcdserverpb_KVClient(client, service: "etcd", options: options)
                let values = try await watches.watch { out, changes in
                    try await out.send(
                        .with {
                            $0.createRequest = .with {
                                $0.key = Data("w/".utf8)
                                $0.rangeEnd = Data("w0".utf8)
                            }
                        })
                    var iterator = changes.makeAsyncIterator()
                    let created = try await iterator.next()
                    #expect(created?.created == true)
                    for n in 0..<20 {
                        _ = try await keys.put(
                            .with {
                                $0.key = Data("w/\(n)".utf8)
                                $0.value = Data("\(n)".utf8)
                            })
                    }
                    var values: [String] = []
                    while values.count < 20, let change = try await iterator.next() {
                        values += change.events.map {
                            String(decoding: $0.kv.value, as: UTF8.self)
                        }
                    }
                    return values
                }
                #expect(values == (0..<20).map(String.init))
            }
        }
    }
}
