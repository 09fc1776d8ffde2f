import Micro
import MicroProtobuf
import SwiftProtobuf
import Testing

/// Closures as users write them, beside those for `Codable` types: that they compile is half of the
/// test.
struct OverloadTests {
    private struct Plain: Codable, Sendable, Equatable { var text: String }

    private static let quote = Endpoint<Order, Receipt>("shop", "Orders.Quote")
    private static let count = Endpoint<Order, Receipt>("shop", "Orders.Count")
    private static let sum = Endpoint<Order, Receipt>("shop", "Orders.Sum")
    private static let join = Endpoint<Order, Receipt>("shop", "Orders.Join")

    @Test func byString() async throws {
        try await serving { server in
            server.handle("Orders.Now") { (order: Order, context) in
                Receipt.with { $0.order = order.id }
            }
            server.handle("Orders.Later") { (order: Order, context) in
                guard order.totalCents > 0 else {
                    throw MicroError.invalid("orders.later", "must be positive", at: "totalCents")
                }
                try await context.clock.sleep(for: .milliseconds(1))
                return Receipt.with { $0.order = order.id }
            }
            server.handle("Orders.Apart", execution: .concurrent, timeout: .seconds(60)) {
                (order: Order, context) in Receipt.with { $0.order = order.id }
            }
            server.handle("Orders.Plain") { (plain: Plain, context) in plain }
            server.stream("Orders.Count") { (order: Order, context, out: Outbound<Receipt>) in
                for item in order.items {
                    try await out.send(.with { $0.totalCents = Int64(item.count) })
                }
            }
            server.collect("Orders.Sum") { (orders: Inbound<Order>, context) in
                var sum = Receipt()
                for try await order in orders { sum.totalCents += order.totalCents }
                return sum
            }
            server.exchange("Orders.Join") {
                (orders: Inbound<Order>, context, out: Outbound<Receipt>) in
                for try await order in orders { try await out.send(.with { $0.order = order.id }) }
            }
        } _: { client, options in
            let order = Order.with {
                $0.id = "7"
                $0.totalCents = 1
            }
            for name in ["Now", "Later", "Apart"] {
                let reply: Receipt = try await client.call(
                    "shop", "Orders.\(name)", order, options: options)
                #expect(reply.order == "7")
            }
            let plain: Plain = try await client.call(
                "shop", "Orders.Plain", Plain(text: "a"), options: options)
            #expect(plain.text == "a")
            let response = try await client.response(
                "shop", "Orders.Now", order, as: Receipt.self, options: options)
            #expect(response.reply.order == "7")
            #expect(response.report.attempts == 1)
            let items = Order.with { $0.items = [.with { $0.count = 1 }, .with { $0.count = 2 }] }
            var counts: [Int64] = []
            for try await receipt in try await client.stream(
                "shop", "Orders.Count", items, as: Receipt.self)
            {
                counts.append(receipt.totalCents)
            }
            #expect(counts == [1, 2])
            let sum: Receipt = try await client.collect("shop", "Orders.Sum") {
                (out: Outbound<Order>) in
                for cents in 1...3 { try await out.send(.with { $0.totalCents = Int64(cents) }) }
            }
            #expect(sum.totalCents == 6)
            try await client.exchange("shop", "Orders.Join") {
                (out: Outbound<Order>, replies: Inbound<Receipt>) in
                try await out.send(order)
                for try await reply in replies {
                    #expect(reply.order == "7")
                    break
                }
            }
        }
    }

    @Test func byTypedEndpoint() async throws {
        try await serving { server in
            server.handle(OverloadTests.quote) { request, context in
                Receipt.with { $0.order = request.id }
            }
            server.stream(OverloadTests.count) { request, context, out in
                for item in request.items {
                    try await out.send(.with { $0.totalCents = Int64(item.count) })
                }
            }
            server.collect(OverloadTests.sum) { orders, context in
                var sum = Receipt()
                for try await order in orders { sum.totalCents += order.totalCents }
                return sum
            }
            server.exchange(OverloadTests.join) { orders, context, out in
                for try await order in orders { try await out.send(.with { $0.order = order.id }) }
            }
        } _: { client, options in
            let reply = try await client.call(OverloadTests.quote, .with { $0.id = "7" })
            #expect(reply.order == "7")
            let response = try await client.response(OverloadTests.quote, Order())
            #expect(response.reply.order == "")
            let order = Order.with { $0.items = [.with { $0.count = 1 }, .with { $0.count = 2 }] }
            var counts: [Int64] = []
            for try await receipt in try await client.stream(OverloadTests.count, order) {
                counts.append(receipt.totalCents)
            }
            #expect(counts == [1, 2])
            let sum = try await client.collect(OverloadTests.sum) { out in
                for cents in 1...3 { try await out.send(.with { $0.totalCents = Int64(cents) }) }
            }
            #expect(sum.totalCents == 6)
            let echoed = try await client.exchange(OverloadTests.join) { out, replies in
                try await out.send(.with { $0.id = "a" })
                try await out.finish()
                var names: [String] = []
                for try await reply in replies { names.append(reply.order) }
                return names
            }
            #expect(echoed == ["a"])
        }
    }

    @Test func malformedMessagesAreRefused() async throws {
        try await serving { server in
            server.handle("Orders.Now") { (order: Order, context) in Receipt() }
        } _: { client, options in
            for (contentType, body) in [
                ("application/grpc", [0x0a]), ("application/grpc+proto", [0x0a]),
                ("application/grpc+json", Array("{".utf8)),
            ] as [(String, [UInt8])] {
                let request = ClientRequest(
                    service: "shop", endpoint: "Orders.Now", contentType: contentType, body: body,
                    options: options)
                let error = await #expect(throws: MicroError.self) {
                    _ = try await client.send(request)
                }
                #expect(error?.code == .invalidArgument, "\(contentType)")
                #expect(error?.detail.contains("micro.test.v1.Order") == true, "\(error as Any)")
            }
        }
    }

    /// What microctl does: JSON, to an endpoint of messages.
    @Test func jsonIsAnsweredWithJSON() async throws {
        try await serving { server in
            server.handle("Orders.Now") { (order: Order, context) in
                Receipt.with { $0.order = order.id }
            }
        } _: { client, options in
            let response = try await client.send(
                ClientRequest(
                    service: "shop", endpoint: "Orders.Now", body: Array(#"{"id":"7"}"#.utf8),
                    options: options))
            #expect(String(decoding: response.body, as: UTF8.self) == #"{"order":"7"}"#)
            #expect(response.contentType == "application/grpc+json")
        }
    }
}
