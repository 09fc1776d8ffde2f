/// How a ``SQLiteStore`` keeps its file.
public struct SQLiteStoreOptions: Sendable, Hashable {
    /// What a commit that has returned survives.
    public enum Durability: Sendable, Hashable {
        /// A power cut: every group of commits waits for the disk.
        case powerCut
        /// The end of the process, however it ends. A power cut may take the last commits, but
        /// leaves the file sound. Much faster.
        case crash
    }

    /// What the file holds at most. Default: records and bytes without a bound, and the other
    /// defaults of ``StoreLimits``.
    public var limits = StoreLimits(entries: .max, bytes: .max)

    /// What a commit that has returned survives. Default ``Durability/powerCut``.
    public var durability = Durability.powerCut

    /// How long a commit waits for another process that writes. Default 5 s.
    public var busyTimeout: Duration = .seconds(5)

    /// How many reads go on at the same time; each has a connection and takes a worker thread of
    /// the environment. 1 to 16; default 2.
    public var readers = 2

    /// How many commits, and how many reads, may wait. Default 10,000.
    public var waiting = 10_000

    /// How long a call waits for its turn. Default 10 s.
    public var patience: Duration = .seconds(10)

    /// The defaults.
    public init() {}

    /// - Throws: ``MicroError`` `invalidArgument`, which names what is wrong.
    func validate() throws(MicroError) {
        let counts = [
            ("limits.entries", limits.entries, 1...Int.max),
            ("limits.bytes", limits.bytes, 1...Int.max),
            ("limits.keyBytes", limits.keyBytes, 1...(1 << 20)),
            ("limits.valueBytes", limits.valueBytes, 0...(512 << 20)),
            ("limits.batch", limits.batch, 1...1_000_000),
            ("limits.changes", limits.changes, 1...Int.max),
            ("limits.changeBytes", limits.changeBytes, 1...Int.max),
            ("readers", readers, 1...16), ("waiting", waiting, 1...1_000_000),
        ]
        for (name, value, range) in counts where !range.contains(value) {
            throw .invalid(
                "store",
                "options.\(name) is \(value): it must be \(range.lowerBound) to "
                    + "\(range.upperBound)", at: name)
        }
        for (name, value) in [("busyTimeout", busyTimeout), ("patience", patience)]
        where !(Duration.milliseconds(1)...Duration.seconds(86_400)).contains(value) {
            throw .invalid(
                "store", "options.\(name) is \(value): it must be 1 ms to a day", at: name)
        }
    }
}
