import Foundation
import Micro
import MicroTesting
import Testing

@testable import MicroRedis

extension EndToEnd {
    /// The store in Redis, against Redis itself.
    @Suite struct RedisStoreTests {
        private func store(
            in server: RedisServer, prefix: String = "micro", limits: StoreLimits? = nil
        ) throws -> RedisStore {
            var options = RedisStoreOptions(server.options)
            options.prefix = prefix
            if let limits { options.limits = limits }
            return try RedisStore(options)
        }

        private func withStore(
            _ arguments: [String] = [], limits: StoreLimits? = nil,
            _ body: (RedisServer, RedisStore) async throws -> Void
        ) async throws {
            try await RedisServer.run(arguments) { server in
                let store = try store(in: server, limits: limits)
                try await body(server, store)
                await store.close()
            }
        }

        @Test func conforms() async throws {
            try await RedisServer.run { server in
                let address = server.endpoint
                let serial = Serial()
                let suite = StoreConformance(shortTTL: .milliseconds(600)) {
                    var options = RedisStoreOptions(RedisOptions(endpoint: address))
                    options.redis.timeout = .seconds(20)
                    options.prefix = "test-\(await serial.next())"
                    return try RedisStore(options)
                }
                try await suite.run()
            }
        }

        private actor Serial {
            private var last = 0
            func next() -> Int {
                last += 1
                return last
            }
        }
    }
}
