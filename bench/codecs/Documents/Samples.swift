/// The documents, with their values. Each is made anew, and is the same each time.
enum Samples {
    static var small: Sample<Order> { Sample(Order.sample) }

    static var records: Sample<[Record]> {
        var random = Randomness()
        return Sample((0..<350).map { Record.make(&random, id: $0) })
    }

    static func feed(sorted: Bool) -> Sample<Feed> {
        var random = Randomness()
        return Sample(Feed.make(&random, count: 452), sorted ? .sortedFeed : .feed)
    }
}
