internal import Synchronization

/// What reads from the file of a ``SQLiteStore``: several connections, each of which serves all the
/// reads that it has taken from one state of the file.
final class SQLiteStoreReaders: Sendable {
    /// A read, at a time of the file.
    private typealias Read = @Sendable (StoreFile, Int64) throws -> Void

    /// How many reads one transaction serves.
    private static let groupMax = 256

    private let place: SQLiteStorePlace
    private let connections: [Connection]
    private let queue: StoreQueue<Read, Void>

    init(_ place: SQLiteStorePlace, _ options: SQLiteStoreOptions) {
        let connections = (0..<options.readers).map { _ in Connection(place) }
        self.place = place
        self.connections = connections
        self.queue = StoreQueue(
            environment: place.environment,
            limits: .init(
                waiting: options.waiting, workers: options.readers,
                weight: SQLiteStoreReaders.groupMax, patience: options.patience)
        ) { worker, reads, _ in connections[worker].serve(reads) }
    }

    /// Runs `body` on a worker thread, on a state of the file that has every commit which returned
    /// before.
    ///
    /// - Parameter id: Where, for errors: "store.read".
    func read<T: Sendable>(
        _ id: String, _ body: @escaping @Sendable (StoreFile, _ now: Int64) throws -> T
    ) async throws -> T {
        let found = Found<T>()
        do {
            try await queue.submit({ file, now in found.value = try body(file, now) }, at: id)
        } catch let error as SQLiteError {
            throw place.explain(error, id)
        }
        guard let value = found.value else {
            throw MicroError.internalError(id, "a read was served, and has no answer")
        }
        return value
    }

    /// Refuses what comes, and waits for the rest.
    func drain() async { await queue.close() }

    /// Blocks.
    func close() {
        for connection in connections { connection.close() }
    }

    private final class Found<T: Sendable>: Sendable {
        private let box = Mutex<T?>(nil)

        var value: T? {
            get { box.withLock { $0 } }
            set { box.withLock { $0 = newValue } }
        }
    }

    private final class Connection: Sendable {
        private let place: SQLiteStorePlace
        private let connection: Mutex<SQLiteStoreConnection>

        init(_ place: SQLiteStorePlace) {
            self.place = place
            self.connection = Mutex(SQLiteStoreConnection(place, isReadOnly: true))
        }

        func close() { connection.withLock { $0.close() } }

        func serve(_ reads: [Read]) -> [Result<Void, any Error>] {
            connection.withLock { connection in
                do {
                    let answers = try connection.use { file in
                        try file.reading {
                            let now = file.time(at: place.moment)
                            return reads.map { read in Result { try read(file, now) } }
                        }
                    }
                    for case .failure(let error as SQLiteError) in answers {
                        connection.note(error)
                        break
                    }
                    return answers
                } catch {
                    return reads.map { _ in .failure(error) }
                }
            }
        }
    }
}
