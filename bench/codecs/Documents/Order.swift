/// The small message of an RPC: 113 bytes.
struct Order: Model {
    var id: Int
    var name: String
    var price: Double
    var active: Bool
    var tags: [String]

    static let sample = Order(
        id: 4_815_162_342, name: "Espresso machine, two groups", price: 1299.95, active: true,
        tags: ["kitchen", "coffee"])
}
