internal import ArgumentParser
internal import Micro

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// `microctl store get|put|ls|rm|watch`
struct StoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "Reads, writes, lists and watches records.",
        discussion: """
              export MICRO_STORE=sqlite:/var/lib/shop.sqlite
              microctl store put greeting '{"text":"hello"}' --ttl 10m
              microctl store get greeting
              microctl store ls --prefix orders/
              microctl store watch --prefix orders/ --json
              microctl store rm greeting

            The store is what --store or MICRO_STORE names: sqlite:/path/to/file, or sqlite:name
            for a file of this user's own.
            """,
        subcommands: [
            StoreGet.self, StorePut.self, StoreList.self, StoreRemove.self, StoreWatch.self,
        ])
}

/// Which store.
struct StoreOptions: ParsableArguments {
    @Option(name: .long, help: "The store, e.g. sqlite:/run/shop.sqlite. Default: MICRO_STORE.")
    var store: String?

    /// Opens it, and closes it after `body`.
    func use(_ body: (any Store) async throws -> Void) async throws {
        let url = store ?? getenv("MICRO_STORE").map { String(cString: $0) } ?? ""
        guard !url.isEmpty, url != "memory:" else {
            throw MicroError.invalid(
                "store",
                "no store is named that outlives a process: set MICRO_STORE or give --store,"
                    + " e.g. sqlite:/var/lib/shop.sqlite", at: "store")
        }
        let store = try makeStore(url: url)
        do {
            try await body(store)
            await store.close()
        } catch {
            await store.close()
            throw error
        }
    }
}

/// `microctl store get KEY`
struct StoreGet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Prints the value of a record.",
        discussion: """
            A value that is no text is printed in base64, and standard error says so. With
            --json, what else the record has is printed too.

            The exit code is 69 when there is no such record.
            """)

    @Argument(help: "The key.") var key: String
    @OptionGroup var storeOptions: StoreOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await reportingErrors {
            try await storeOptions.use { store in
                guard let record = try await store.record(key) else {
                    throw MicroError.notFound("store.get", "there is no record \"\(key)\"")
                }
                guard !output.json else { return try printJSON(RecordLine(record)) }
                guard !StoredText.isText(record.value) else { return printBytes(record.value) }
                printNote("\(record.value.count) bytes that are no text follow in base64")
                printBytes(Array(StoredText.base64(record.value).utf8))
            }
        }
    }
}

/// `microctl store put KEY VALUE`
struct StorePut: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "put", abstract: "Writes a record, and prints its version.",
        discussion: """
              microctl store put greeting '{"text":"hello"}'
              gzip -c big.json | microctl store put backup - --content-type application/gzip
              microctl store put greeting '"hi"' --if-version 7

            The exit code is 74 when a condition does not hold.
            """)

    @Argument(help: "The key.") var key: String
    @Argument(help: "The value; \"-\" reads it from standard input, byte by byte.")
    var value: String

    @Option(name: .long, help: "How long the record lives: 30s, 10m, 2h. Default: for ever.")
    var ttl: String?

    @Option(name: .long, help: "Only if the record has this version; 0: only if there is none.")
    var ifVersion: UInt64?

    @Option(
        name: .long,
        help:
            "What the value is. Default: application/json, text/plain or application/octet-stream.")
    var contentType: String?

    @OptionGroup var headers: HeaderOptions
    @OptionGroup var storeOptions: StoreOptions
    @OptionGroup var output: OutputOptions

    private struct Line: Encodable {
        let key: String
        let version: UInt64
    }

    func run() async throws {
        let timeToLive = try ttl.map(StorePut.duration)
        let metadata = try headers.metadata()
        try await reportingErrors {
            let bytes = value == "-" ? try StandardInput().readAll() : Array(value.utf8)
            let write = StoreBatch.Write(
                key: key, value: bytes,
                contentType: contentType ?? StoredText.contentType(of: bytes),
                metadata: metadata, timeToLive: timeToLive, condition: .init(version: ifVersion))
            try await storeOptions.use { store in
                let commit = try await store.commit(StoreBatch(operations: [.write(write)]))
                guard !output.json else {
                    return try printJSON(Line(key: key, version: commit.revision))
                }
                print(commit.revision)
            }
        }
    }

    private static func duration(_ text: String) throws -> Duration {
        guard let duration = Duration(text: text), duration > .zero else {
            throw ValidationError("--ttl is \"\(text)\": write 30s, 10m or 2h, more than 0")
        }
        return duration
    }
}

/// `microctl store rm KEY`
struct StoreRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Deletes a record.",
        discussion: "The exit code is 69 when there is no such record, 74 when a condition fails.")

    @Argument(help: "The key.") var key: String
    @Option(name: .long, help: "Only if the record has this version.") var ifVersion: UInt64?
    @OptionGroup var storeOptions: StoreOptions

    func run() async throws {
        try await reportingErrors {
            try await storeOptions.use { store in
                guard try await store.delete(key, if: .init(version: ifVersion)) else {
                    throw MicroError.notFound("store.rm", "there is no record \"\(key)\"")
                }
            }
        }
    }
}

extension WriteCondition {
    /// As the command line says it; 0: there is no record.
    fileprivate init(version: UInt64?) {
        self = version.map { $0 == 0 ? .absent : .version($0) } ?? .any
    }
}

/// `microctl store ls`
struct StoreList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "Lists keys in order.",
        discussion: """
            When there are more than --limit, standard error says how to go on; with --json
            it is "next".
            """)

    @Option(name: .long, help: "What the keys begin with.") var prefix = ""
    @Option(name: .long, help: "What the keys end with.") var suffix = ""
    @Option(name: .long, help: "Only keys behind this one.") var after: String?
    @Option(name: .long, help: "How many at most, 1 to 10000. Default: 1000.") var limit = 1_000
    @OptionGroup var storeOptions: StoreOptions
    @OptionGroup var output: OutputOptions

    private struct Page: Encodable {
        let keys: [String]
        let next: String?
    }

    func run() async throws {
        try await reportingErrors {
            try await storeOptions.use { store in
                let page = try await store.list(
                    StoreQuery(prefix: prefix, suffix: suffix, after: after, limit: limit))
                guard !output.json else {
                    return try printJSON(Page(keys: page.keys, next: page.next))
                }
                for key in page.keys { print(key.onSingleLine) }
                if let next = page.next {
                    printNote("there are more: go on with --after \"\(next.onSingleLine)\"")
                }
            }
        }
    }
}

/// `microctl store watch`
struct StoreWatch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Prints changes as they happen, one to a line.",
        discussion: """
            A line has the revision, "written", "deleted" or "expired", and the key; with
            --json the record, too. It goes on until it is interrupted. To go on later where
            it ended, give the last revision to --from: its changes come again.
            """)

    @Option(name: .long, help: "What the keys begin with.") var prefix = ""
    @Option(name: .long, help: "Begin with the changes of this revision. Default: from now on.")
    var from: UInt64?
    @Option(name: .long, help: "End after so many changes.") var limit: Int?
    @OptionGroup var storeOptions: StoreOptions
    @OptionGroup var output: OutputOptions

    private struct Line: Encodable {
        let revision: UInt64
        let change, key: String
        let record: RecordLine?
    }

    func run() async throws {
        try await reportingErrors {
            try await storeOptions.use { store in
                let changes = try await store.changes(prefix: prefix, from: from)
                printNote("watching \(prefix.isEmpty ? "all keys" : prefix.onSingleLine)")
                var remaining = limit ?? .max
                while remaining > 0, let change = try await changes.next() {
                    try show(change)
                    remaining -= 1
                }
            }
        }
    }

    private func show(_ change: StoreChange) throws {
        var record: RecordLine?
        let kind: String
        switch change.kind {
        case .written(let written):
            kind = "written"
            record = RecordLine(written)
        case .deleted: kind = "deleted"
        case .expired: kind = "expired"
        }
        guard !output.json else {
            return try printJSON(
                Line(revision: change.revision, change: kind, key: change.key, record: record))
        }
        printBytes(Array("\(change.revision) \(kind) \(change.key.onSingleLine)".utf8))
    }
}
