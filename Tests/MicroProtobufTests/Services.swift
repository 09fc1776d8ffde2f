import Micro
import MicroProtobuf
import SwiftProtobuf
import Testing

typealias Order = Micro_Test_V1_Order
typealias Receipt = Micro_Test_V1_Receipt

extension Order {
    /// One with all kinds of fields.
    static let full = Order.with {
        $0.id = "7"
        $0.items = [.with { $0.name = "crème" }, .with { $0.count = 3 }]
        $0.size = .large
        $0.totalCents = .max
        $0.at = Google_Protobuf_Timestamp(seconds: 951_782_400)
        $0.previous = .with { $0.id = "6" }
        $0.marks = ["a": -1, "ü": 2]
        $0.cash = false
        $0.rebate = 0.5
    }
}

/// Takes orders: with the protocol that the generator wrote.
struct OrderService: Micro_Test_V1_OrdersService {
    func create(_ request: Order, _ context: Context) async throws -> Receipt {
        guard request.totalCents > 0 else {
            throw MicroError.invalid("orders.create", "must be positive", at: "total_cents")
        }
        return receipt(request)
    }

    func quote(_ request: Order, _ context: Context) async throws -> Receipt { receipt(request) }

    func ping(
        _ request: Google_Protobuf_Empty, _ context: Context
    ) async throws -> Google_Protobuf_Empty { request }

    func watch(_ request: Order, _ context: Context, _ out: Outbound<Receipt>) async throws {
        for item in request.items { try await out.send(receipt(request, Int64(item.count))) }
    }

    func collect(_ incoming: Inbound<Order>, _ context: Context) async throws -> Receipt {
        var sum = Receipt()
        for try await order in incoming {
            sum.order += order.id
            sum.totalCents += order.totalCents
        }
        return sum
    }

    func exchange(
        _ incoming: Inbound<Order>, _ context: Context, _ out: Outbound<Receipt>
    ) async throws {
        for try await order in incoming { try await out.send(receipt(order)) }
    }

    private func receipt(_ order: Order, _ cents: Int64? = nil) -> Receipt {
        .with {
            $0.order = order.id
            $0.totalCents = cents ?? order.totalCents
        }
    }
}

/// Serves in a simulation while `body` calls there.
func serving(
    _ record: @escaping @Sendable (Server) -> Void,
    _ body: @escaping @Sendable (_ client: Client, _ options: CallOptions) async throws -> Void
) async throws {
    try await withSimulation {
        let server = Server(name: "shop", options: ServerOptions(addresses: ["memory://shop"]))
        record(server)
        try await server.start()
        let client = Client(resolver: StaticResolver(addresses: ["shop": server.addresses]))
        do {
            try await body(client, CallOptions(timeout: .seconds(60)))
        } catch {
            await client.close()
            try await server.drain()
            throw error
        }
        await client.close()
        try await server.drain()
    }
}
