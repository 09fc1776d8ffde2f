import Micro

/// The types of the documents once more, this time with the direct protocol adopted by hand. Codecs
/// don't use the `Codable` of such a type, so both can't be measured with one.
enum Direct {
    struct Order: Model, DirectCodable {
        var id: Int
        var name: String
        var price: Double
        var active: Bool
        var tags: [String]

        init(from value: borrowing DirectReader) throws {
            id = try value.decode("id")
            name = try value.decode("name")
            price = try value.decode("price")
            active = try value.decode("active")
            tags = try value.decode("tags")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("id", id)
                try $0.encode("name", name)
                try $0.encode("price", price)
                try $0.encode("active", active)
                try $0.encode("tags", tags)
            }
        }
    }

    struct Record: Model, DirectCodable {
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

        init(from value: borrowing DirectReader) throws {
            id = try value.decode("id")
            sku = try value.decode("sku")
            title = try value.decode("title")
            price = try value.decode("price")
            currency = try value.decode("currency")
            quantity = try value.decode("quantity")
            weight = try value.decodeIfPresent("weight")
            note = try value.decodeIfPresent("note")
            isAvailable = try value.decode("isAvailable")
            createdAt = try value.decode("createdAt")
            ratings = try value.decodeIfPresent("ratings")
            warehouse = try value.decode("warehouse")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("id", id)
                try $0.encode("sku", sku)
                try $0.encode("title", title)
                try $0.encode("price", price)
                try $0.encode("currency", currency)
                try $0.encode("quantity", quantity)
                try $0.encodeIfPresent("weight", weight)
                try $0.encodeIfPresent("note", note)
                try $0.encode("isAvailable", isAvailable)
                try $0.encode("createdAt", createdAt)
                try $0.encodeIfPresent("ratings", ratings)
                try $0.encode("warehouse", warehouse)
            }
        }
    }

    struct Warehouse: Model, DirectCodable {
        var city: String
        var shelf: Int
        var latitude: Double
        var longitude: Double

        init(from value: borrowing DirectReader) throws {
            city = try value.decode("city")
            shelf = try value.decode("shelf")
            latitude = try value.decode("latitude")
            longitude = try value.decode("longitude")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("city", city)
                try $0.encode("shelf", shelf)
                try $0.encode("latitude", latitude)
                try $0.encode("longitude", longitude)
            }
        }
    }
}
