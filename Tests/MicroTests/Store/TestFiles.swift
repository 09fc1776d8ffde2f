import Foundation
import Testing

@testable import Micro

/// Runs `body` with a folder of its own, which is gone afterwards.
func withTemporaryFolder<T>(_ body: (String) async throws -> T) async throws -> T {
    let folder = NSTemporaryDirectory() + "micro-store-" + UUID().uuidString
    try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try await body(folder)
}

/// A store in a file of `folder`.
func sqliteStore(
    _ folder: String, _ name: String = "store",
    _ change: (inout SQLiteStoreOptions) -> Void = { _ in }
) throws -> SQLiteStore {
    var options = SQLiteStoreOptions()
    change(&options)
    return try SQLiteStore(path: "\(folder)/\(name)", options: options)
}

/// The next change, which has to come.
func nextChange(_ changes: StoreChanges) async throws -> StoreChange {
    try await withTimeout(.seconds(60), on: Environment.current.clock, "test", "a change") {
        try #require(try await changes.next())
    }
}
