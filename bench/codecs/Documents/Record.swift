/// One of an array, as a database is asked for: most fields are short, and some are absent.
struct Record: Model {
    var id: Int
    var sku: String
    var title: String
    var price: Double
    var currency: String
    var quantity: Int
    var weight: Double?
    var note: String?
    var isAvailable: Bool
    var createdAt: Int
    var ratings: [Int]?
    var warehouse: Warehouse

    struct Warehouse: Model {
        var city: String
        var shelf: Int
        var latitude: Double
        var longitude: Double
    }

    static func make(_ random: inout Randomness, id: Int) -> Record {
        Record(
            id: 1_000_000 + id, sku: "SKU-\(random.number(10_000...99_999))-\(id % 7)",
            title: random.words(3...6), price: random.decimal(100_000, digits: 2),
            currency: random.pick(["EUR", "USD", "JPY"]), quantity: random.number(0...500),
            weight: random.sometimes(2) { $0.decimal(20_000, digits: 3) },
            note: random.sometimes(4) { $0.words(4...12) },
            isAvailable: random.number(0...3) > 0,
            createdAt: 1_700_000_000_000 + random.number(0...90_000_000_000),
            ratings: random.sometimes(2) { random in
                (0..<random.number(1...8)).map { _ in random.number(1...5) }
            },
            warehouse: Warehouse(
                city: random.pick(["Rotterdam", "São Paulo", "Göteborg", "大阪", "Chicago"]),
                shelf: random.number(1...400),
                latitude: random.decimal(90_000_000, digits: 6),
                longitude: -random.decimal(180_000_000, digits: 6)))
    }
}
