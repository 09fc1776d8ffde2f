import ArgumentParser
import Foundation
import Micro

/// Writes numbered pairs of records into a store, from many tasks, until it is killed. Prints
/// "open", and a line with the number of each pair when its commit has returned.
struct StoreWriteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store-write", abstract: "Write numbered records until killed.")

    @Option(help: "The store.") var store: String
    @Option(help: "Which writer it is.") var run: Int
    @Option(help: "How many tasks write.") var tasks = 16

    func run() async throws {
        let store = try makeStore(url: store)
        _ = try await store.record("start")
        say("open")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                group.addTask {
                    for round in 0... {
                        let number = round * tasks + task
                        try await store.commit(numberedPair(number, of: run))
                        say("\(number)")
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

/// Two records that are there together or not at all; some are larger than a page.
private func numberedPair(_ number: Int, of run: Int) -> StoreBatch {
    let value = Array("\(number):".utf8) + [UInt8](repeating: 7, count: number % 37 * 300)
    return StoreBatch(
        operations: ["a", "b"].map { half in
            .write(.init(key: "\(run)/\(half)/\(number)", value: value))
        })
}

/// Prints the number of every pair that a writer left, and "torn" with the number of one that is
/// not whole.
struct StoreCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store-check", abstract: "Print the numbers of the records.")

    @Option(help: "The store.") var store: String
    @Option(help: "Which writer wrote them.") var run: Int

    func run() async throws {
        let store = try makeStore(url: store)
        for half in ["a", "b"] {
            for try await key in store.keys(prefix: "\(run)/\(half)/") {
                let number = Int(key.split(separator: "/")[2]) ?? -1
                let records = [
                    try await store.record("\(run)/a/\(number)"),
                    try await store.record("\(run)/b/\(number)"),
                ]
                let values = numberedPair(number, of: run).operations.map { operation in
                    if case .write(let write) = operation { write.value } else { [UInt8]() }
                }
                let isWhole =
                    records.map { $0?.value } == values
                    && records[0]?.version == records[1]?.version
                if !isWhole { say("torn \(number)") } else if half == "a" { say("\(number)") }
            }
        }
        await store.close()
    }
}

/// Fills a disk with records. Prints "full" with how many there are and the reason of the error;
/// when a line comes on standard input, writes on, and prints "lost" with how many are gone, and
/// "written" with how many more it could write.
struct StoreFillCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store-fill", abstract: "Write records until the disk is full.")

    @Option(help: "The store.") var store: String

    func run() async throws {
        let store = try makeStore(url: store)
        let value = [UInt8](repeating: 7, count: 20_000)
        var count = 0
        do {
            while true {
                try await store.write(value, at: "\(count)")
                count += 1
            }
        } catch let error as MicroError {
            say("full \(count) \(error.reason)")
        }
        _ = readLine()
        var lost = 0
        for number in 0..<count where try await store.record("\(number)")?.value != value {
            lost += 1
        }
        say("lost \(lost)")
        for more in 0..<5 { try await store.write(value, at: "more-\(more)") }
        await store.close()
        say("written 5")
    }
}
