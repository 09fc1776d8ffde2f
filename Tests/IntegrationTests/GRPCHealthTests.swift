import Micro
import Testing

extension EndToEnd {
    /// Health and reflection as the stock clients see them.
    @Suite struct GRPCHealthTests {
        @Test func checks() async throws {
            struct Seen: Decodable {
                let checked, listed: [String: String]
            }
            try await Kitchen.open { kitchen in
                kitchen.service.health.set("Kitchen", .notServing)
                let seen = try await Peer.observe(
                    "grpc_health_client.py", kitchen.address, "health", as: Seen.self)
                let known = [
                    "": "SERVING", "kitchen": "SERVING", "kitchen.Kitchen": "SERVING",
                    "Kitchen": "NOT_SERVING",
                ]
                #expect(seen.listed == known)
                #expect(seen.checked == known.merging(["nobody": "NOT_FOUND"]) { $1 })
            }
        }

        @Test(arguments: ["", "kitchen.Kitchen"])
        func watchersAreToldAndDoNotHoldTheEnd(service: String) async throws {
            var watching: Program?
            try await Kitchen.open { kitchen in
                let peer = try Peer.start(
                    "grpc_health_client.py", kitchen.address, "watch", service)
                watching = peer
                _ = try await peer.line(with: "told SERVING")
                kitchen.service.health.set(service, .notServing)
                _ = try await peer.line(with: "told NOT_SERVING")
                kitchen.service.health.set(service, .serving)
                try await until("SERVING is told again") {
                    peer.output.hasSuffix("told NOT_SERVING\ntold SERVING\n")
                }
            }
            let peer = try #require(watching)
            let statuses = try await Peer.observation(of: peer, as: [String].self)
            #expect(statuses == ["SERVING", "NOT_SERVING", "SERVING", "NOT_SERVING"])
        }

        @Test func anUnknownServiceIsWatched() async throws {
            try await Kitchen.open { kitchen in
                let peer = try Peer.start(
                    "grpc_health_client.py", kitchen.address, "watch", "later")
                _ = try await peer.line(with: "told SERVICE_UNKNOWN")
                kitchen.service.health.set("later", .serving)
                _ = try await peer.line(with: "told SERVING")
            }
        }

        @Test func reflection() async throws {
            struct Seen: Decodable {
                let services: [String]
                let differences: [String: String]
                let checked, undescribed: String
            }
            try await Kitchen.open { kitchen in
                let seen = try await Peer.observe(
                    "grpc_health_client.py", kitchen.address, "reflection", as: Seen.self)
                #expect(
                    seen.services == [
                        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                        "grpc.reflection.v1alpha.ServerReflection", "kitchen.Kitchen",
                    ])
                #expect(seen.differences.count == 2)
                for (service, difference) in seen.differences {
                    #expect(difference.isEmpty, "\(service): \(difference)")
                }
                #expect(seen.checked == "status: SERVING")
                #expect(seen.undescribed == "missing")
            }
        }
    }
}
