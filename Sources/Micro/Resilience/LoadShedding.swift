/// When a server refuses calls because more is offered than it can do: when requests have waited
/// for their handlers too long, every one of them, for some time. Whoever waits then would have
/// given up before it is served.
///
/// From then on what is too much is refused before it is read, with
/// ``MicroError/Code-swift.struct/resourceExhausted`` (HTTP: 503) and when to come again: calls of
/// the lowest ``CallPriority`` first, and what is served begins within a quarter of ``maxDelay``.
/// It ends when all can be served again. Health checks and reflection are not shed.
///
/// It goes by how long handlers are waited for, not by how long they take: one that waits for
/// another service keeps nobody waiting. For those there is ``ConcurrencyLimit``. The wait is a
/// queue's that does not empty (CoDel, RFC 8289; DAGOR, SoCC 2018).
public struct LoadShedding: Sendable, Hashable {
    /// How long each request has to wait before it is overload. Default 100 ms. Not less than ten
    /// times what a handler computes: a queue of a few is no overload.
    public var maxDelay: Duration
    /// For how long. Default 500 ms.
    public var interval: Duration

    /// The defaults, but for what is given.
    public init(maxDelay: Duration = .milliseconds(100), interval: Duration = .milliseconds(500)) {
        self.maxDelay = maxDelay
        self.interval = interval
    }

    /// What can't be used of it, each named.
    var problems: [String] {
        [("maxDelay", maxDelay, 1), ("interval", interval, 10)]
            .filter { $0.1 < .milliseconds($0.2) || $0.1 > .seconds(60) }
            .map { "options.loadShedding.\($0.0) is \($0.1): it must be \($0.2) ms to 1 min" }
    }
}
