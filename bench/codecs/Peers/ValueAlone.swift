/// The values that a decoder gives, made without one: what it can't do without.
enum ValueAlone {
    static func work(_ operation: Operation, _ document: DocumentName) throws -> Work {
        guard operation == .decode, document == .small else {
            throw Unfit("there is only the small message to decode")
        }
        let sample = Samples.small
        let parts = Parts(sample.value)
        guard parts.makeOrder() == sample.value else { throw Unfit("another value is made") }
        return Work(bytes: sample.json.count) { count in
            for _ in 0..<count { take(parts.makeOrder()) }
        }
    }

    /// What an order is made of. Texts are bytes still, as they are in a message.
    private struct Parts {
        let order: Order
        let name: [UInt8]
        let tags: [[UInt8]]

        init(_ order: Order) {
            self.order = order
            name = Array(order.name.utf8)
            tags = order.tags.map { Array($0.utf8) }
        }

        @inline(never)
        func makeOrder() -> Order {
            Order(
                id: order.id, name: String(decoding: name, as: UTF8.self), price: order.price,
                active: order.active, tags: tags.map { String(decoding: $0, as: UTF8.self) })
        }
    }
}
