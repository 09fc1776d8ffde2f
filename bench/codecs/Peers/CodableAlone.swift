/// What `Codable` itself takes: values come from nowhere and go nowhere. The calls between a type
/// and its decoder or encoder are those that every codec has to live with.
enum CodableAlone {
    static func work(_ operation: Operation, _ document: DocumentName) throws -> Work {
        guard document == .small else { throw Unfit("there is only the small message") }
        let sample = Samples.small
        let value = sample.value
        switch operation {
        case .decode:
            let decoder: any Decoder = KnowingDecoder(order: value)
            guard try decode(Order.self, from: decoder) == value else {
                throw Unfit("what was decoded is not what is known")
            }
            return Work(bytes: sample.json.count) { count in
                for _ in 0..<count { take(try decode(Order.self, from: decoder)) }
            }
        case .encode:
            let encoder: any Encoder = ForgettingEncoder()
            return Work(bytes: sample.json.count) { count in
                for _ in 0..<count { try encode(value, to: encoder) }
            }
        case .validate, .read: throw Unfit("it decodes and encodes only")
        }
    }

    // Codecs are in another module than the types, so nothing is specialized for either.

    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    private static func decode<T: Decodable>(_ type: T.Type, from decoder: any Decoder) throws -> T
    {
        try T(from: decoder)
    }

    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    private static func encode<T: Encodable>(_ value: T, to encoder: any Encoder) throws {
        try value.encode(to: encoder)
    }
}
