/// What is encoded and decoded in a document.
protocol Model: Codable, Equatable, Sendable {}

extension Array: Model where Element: Model {}

/// A document: a value, and the JSON that is decoded to it.
struct Sample<Value: Model> {
    let value: Value
    let json: [UInt8]

    /// The value is what Foundation reads.
    init(reading json: [UInt8]) throws {
        value = try FoundationCodec.read(Value.self, json)
        self.json = json
    }

    init(_ value: Value, _ style: PlainJSON.Style = .plain) {
        self.value = value
        json = PlainJSON.bytes(of: value, style)
    }
}

/// The documents, as JSON.
enum DocumentName: String, CaseIterable {
    /// One message of 113 bytes.
    case small
    /// An array of 100 KB.
    case records
    /// 1 MB of short and long texts, with escapes and nulls.
    case feed
    /// The same, the keys of each object sorted.
    case sortedFeed = "sorted-feed"

    var json: [UInt8] {
        switch self {
        case .small: Samples.small.json
        case .records: Samples.records.json
        case .feed: Samples.feed(sorted: false).json
        case .sortedFeed: Samples.feed(sorted: true).json
        }
    }

    func work(_ operation: Operation, _ codec: some ValueCodec) throws -> Work {
        switch self {
        case .small: try codec.work(operation, Samples.small)
        case .records: try codec.work(operation, Samples.records)
        case .feed: try codec.work(operation, Samples.feed(sorted: false))
        case .sortedFeed: try codec.work(operation, Samples.feed(sorted: true))
        }
    }

    /// The same with the types that have a direct protocol.
    func directWork(_ operation: Operation, _ codec: some ValueCodec) throws -> Work {
        switch self {
        case .small: try codec.work(operation, Sample<Direct.Order>(reading: json))
        case .records: try codec.work(operation, Sample<[Direct.Record]>(reading: json))
        case .feed, .sortedFeed: try codec.work(operation, Sample<Direct.Feed>(reading: json))
        }
    }
}
