import Micro
import MicroProtobuf
import SwiftProtobuf
import Testing

/// Messages where values of `Codable` types are published and stored.
struct BrokerAndStoreTests {
    private struct Plain: Codable, Sendable, Equatable { var text: String }

    @Test func messagesArePublishedAndDelivered() async throws {
        let broker = MemoryBroker()
        let orders = try await broker.messages("orders.*", as: Order.self)
        try await broker.publish(Order.full, to: "orders.created", key: "7")
        try await broker.publish(Order.full, to: "orders.created", contentType: .json)
        var types: [String] = []
        for try await message in orders {
            #expect(message.value == .full)
            types.append(message.delivery.message.contentType)
            try await message.acknowledge()
            if types.count == 2 { break }
        }
        #expect(types == ["application/protobuf", "application/json"])
        await broker.close(timeout: .seconds(5))
    }

    @Test func whatIsNoMessageBecomesADeadLetter() async throws {
        let broker = MemoryBroker()
        let orders = try await broker.messages("orders.created", group: "g", as: Order.self)
        try await broker.publish(
            Message(topic: "orders.created", contentType: "application/protobuf", body: [0x0a]))
        try await broker.publish(Plain(text: "a"), to: "orders.created")
        try await broker.publish(Order.full, to: "orders.created")
        var seen: [Order] = []
        for try await message in orders {
            seen.append(message.value)
            try await message.acknowledge()
            if seen.count == 2 { break }
        }
        // JSON of something else has none of the fields.
        #expect(seen == [Order(), .full])
        await broker.close(timeout: .seconds(5))
    }

    @Test func aServiceSubscribes() async throws {
        try await withSimulation {
            var options = ServiceOptions()
            options.register = MemoryRegister()
            options.server.addresses = ["memory://shop"]
            let service = MicroService(name: "shop", options: options)
            let (orders, arrived) = AsyncStream.makeStream(of: Order.self)
            service.subscribe("orders.created", group: "billing") { (order: Order, context) in
                arrived.yield(order)
            }
            let (plains, plainArrived) = AsyncStream.makeStream(of: Plain.self)
            service.subscribe("plain") { (plain: Plain, context) in plainArrived.yield(plain) }
            try await service.start()
            try await service.broker.publish(Order.full, to: "orders.created")
            try await service.broker.publish(Plain(text: "a"), to: "plain")
            for await order in orders {
                #expect(order == .full)
                break
            }
            for await plain in plains {
                #expect(plain == Plain(text: "a"))
                break
            }
            try await service.stop()
        }
    }

    @Test func messagesAreStored() async throws {
        let store = MemoryStore()
        let table = store.table("orders")
        let changes = try await table.changes(as: Order.self)
        let version = try await table.write(Order.full, at: "7", if: .absent)
        #expect(try await table.read("7", as: Order.self) == .full)
        let record = try #require(try await table.record("7", as: Order.self))
        #expect(record.version == version)
        #expect(record.value == .full)
        let raw = try #require(try await table.record("7"))
        #expect(raw.contentType == "application/protobuf")
        for try await change in changes {
            #expect(change.value == .full)
            break
        }
        try await store.transaction { transaction in
            let orders = transaction.table("orders")
            var order = try #require(try await orders.read("7", as: Order.self))
            order.totalCents = 1
            try await orders.write(order, at: "7")
            try await orders.write(Plain(text: "a"), at: "plain")
        }
        let changed: Order? = try await table.read("7")
        #expect(changed?.totalCents == 1)
        // What is there is something else.
        try await table.write(Plain(text: "a"), at: "8")
        try await table.write([UInt8]([0x0a]), at: "9")
        let error = await #expect(throws: MicroError.self) {
            _ = try await table.read("9", as: Order.self)
        }
        #expect(error?.code == .dataLoss)
        await store.close()
    }
}
