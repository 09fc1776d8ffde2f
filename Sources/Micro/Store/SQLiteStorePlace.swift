internal import Logging

/// The file of a ``SQLiteStore``: where it is, how it is opened, and what its errors mean.
struct SQLiteStorePlace: Sendable {
    let settings: StoreFile.Settings
    /// The folder is ours: it is made when it is missing, and its owner and mode are checked.
    let isPrivateFolder: Bool
    let environment: Environment
    let logger: Logger

    var path: String { settings.path }

    /// The folder that the file is in.
    var folder: String { parentFolder(of: path) }

    var moment: StoreFile.Moment { StoreFile.Moment(in: environment) }

    /// Blocks.
    func open(isReadOnly: Bool) throws(SQLiteError) -> StoreFile {
        if isPrivateFolder { try PrivateFolder.ensureAll(folder) }
        do {
            return try StoreFile(settings, at: moment, isReadOnly: isReadOnly)
        } catch {
            // Whoever only reads makes no store: the file of a new one is made here.
            guard isReadOnly, error.isMissing else { throw error }
            _ = try StoreFile(settings, at: moment, isReadOnly: false)
            return try StoreFile(settings, at: moment, isReadOnly: true)
        }
    }

    /// What went wrong, and what to do about it.
    ///
    /// - Parameters:
    ///   - id: Where: "store.commit".
    ///   - wasCommitting: What was done may be in the file, or may not.
    func explain(_ error: SQLiteError, _ id: String, wasCommitting: Bool = false) -> MicroError {
        let (code, reason, advice) = judge(error)
        let isUnknown = wasCommitting && error.isBroken
        return MicroError(
            id, code,
            "the store \(path): \(error): \(advice)"
                + (isUnknown ? ". Whether it was written is not known: read it" : ""),
            reason: reason, wasWritten: isUnknown)
    }

    private func judge(_ error: SQLiteError) -> (MicroError.Code, reason: String, String) {
        if error.isBusy {
            (.unavailable, "STORE_BUSY", "another process writes: try again, or end that process")
        } else if error.isFull {
            (.resourceExhausted, "DISK_FULL", "make room on the disk")
        } else if error.isBroken {
            (.unavailable, "STORE_FAILED", "see to the disk; the file is opened again")
        } else if error.isCorrupt {
            (.dataLoss, "STORE_DAMAGED", "put a sound copy in its place")
        } else if error.isForeign {
            (.failedPrecondition, "STORE_FOREIGN", "choose another path, or a newer Micro")
        } else if error.isMissing {
            (.unavailable, "STORE_MISSING", "make the folder \(folder), or choose another path")
        } else if error.isDenied {
            (
                .permissionDenied, "",
                "the file and its folder must be this user's to write"
                    + (isPrivateFolder ? ", and the folder closed to others (mode 0700)" : "")
            )
        } else {
            (error.status.code, "", "see to the file system that it is on")
        }
    }
}

/// A connection that is opened when it is needed: first, after it has failed, and when the path
/// leads to another file than before. Blocking; one thread at a time.
struct SQLiteStoreConnection: ~Copyable {
    private let place: SQLiteStorePlace
    private let isReadOnly: Bool
    private var file: StoreFile?
    /// Why the one before was given up.
    private var failure: SQLiteError?

    init(_ place: SQLiteStorePlace, isReadOnly: Bool) {
        self.place = place
        self.isReadOnly = isReadOnly
    }

    /// Runs `body` with the file. After an error that leaves the connection in doubt it is closed.
    mutating func use<T>(_ body: (StoreFile) throws -> T) throws -> T {
        let file = try open()
        do {
            return try body(file)
        } catch let error as SQLiteError {
            note(error)
            throw error
        }
    }

    /// After an error that `body` of ``use(_:)`` has not thrown.
    mutating func note(_ error: SQLiteError) {
        if error.isBusy || error.isFull { return }
        failure = error
        file = nil
        place.logger.error(
            "the store failed, and is opened again",
            metadata: ["path": "\(place.path)", "error": "\(error)"])
    }

    mutating func close() { file = nil }

    private mutating func open() throws(SQLiteError) -> StoreFile {
        if let file {
            if file.isCurrent { return file }
            place.logger.warning(
                "another file took the place of the store, and is opened",
                metadata: ["path": "\(place.path)"])
        }
        file = nil
        let opened = try place.open(isReadOnly: isReadOnly)
        if failure != nil {
            failure = nil
            place.logger.notice("the store is open again", metadata: ["path": "\(place.path)"])
        }
        file = opened
        return opened
    }
}
