import Micro
import MicroProtobuf
import SwiftProtobuf
import Testing

/// The generated server and client with each other.
struct GeneratedCodeTests {
    @Test func allKindsOfMethods() async throws {
        try await serving { server in
            server.serve(OrderService())
        } _: { client, options in
            let orders = Micro_Test_V1_OrdersClient(client, service: "shop", options: options)
            let order = Order.with {
                $0.id = "7"
                $0.totalCents = 12
                $0.items = [.with { $0.count = 1 }, .with { $0.count = 2 }]
            }
            #expect(try await orders.create(order).totalCents == 12)
            #expect(try await orders.quote(Order()).totalCents == 0)
            #expect(try await orders.ping(Google_Protobuf_Empty()) == Google_Protobuf_Empty())
            let refused = await #expect(throws: MicroError.self) {
                _ = try await orders.create(Order())
            }
            #expect(refused?.metadata["field"] == "total_cents")

            var counts: [Int64] = []
            for try await receipt in try await orders.watch(order) {
                counts.append(receipt.totalCents)
            }
            #expect(counts == [1, 2])
            let sum = try await orders.collect { out in
                for _ in 0..<3 { try await out.send(order) }
            }
            #expect(sum.order == "777")
            #expect(sum.totalCents == 36)
            let first = try await orders.exchange { out, replies in
                try await out.send(order)
                for try await reply in replies { return reply.order }
                return ""
            }
            #expect(first == "7")
        }
    }

    @Test func theOptionsOfACallWin() async throws {
        try await serving { server in
            server.handle("micro.test.v1.Orders/Quote") { (order: Order, context) in
                Receipt.with { $0.order = context.metadata["x-who"] ?? "" }
            }
        } _: { client, _ in
            let orders = Micro_Test_V1_OrdersClient(
                client, service: "shop", options: CallOptions(metadata: ["x-who": "client"]))
            let usual = try await orders.quote(Order())
            #expect(usual.order == "client")
            let own = CallOptions(metadata: ["x-who": "call"])
            let special = try await orders.quote(Order(), options: own)
            #expect(special.order == "call")
        }
    }

    @Test func endpointsAreTyped() async throws {
        let endpoints = Micro_Test_V1_OrdersEndpoints(service: "shop")
        #expect(endpoints.create == Endpoint("shop", "micro.test.v1.Orders/Create"))
        #expect(endpoints.quote == Endpoint("shop", "micro.test.v1.Orders/Quote"))
        try await serving { server in
            server.handle(endpoints.quote) { order, context in
                Receipt.with { $0.order = order.id }
            }
        } _: { client, options in
            let reply = try await client.call(
                endpoints.quote, .with { $0.id = "7" }, options: options)
            #expect(reply.order == "7")
        }
    }
}
