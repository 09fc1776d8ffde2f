internal import CMicroCore

/// One byte of a file, locked for as long as this object lives and its process runs: the kernel
/// frees it when the process ends, however it ends.
///
/// Taking and asking are system calls on a file: use them inside ``Environment/offload(_:)``.
final class FileLock: Sendable {
    private let pointer: CorePointer
    let offset: UInt64

    /// Locks the byte at `offset`, which need not exist, and creates the file when it is missing.
    ///
    /// - Throws: ``SQLiteError``; `isBusy` when somebody holds it.
    init(path: String, offset: UInt64) throws(SQLiteError) {
        var taken: OpaquePointer?
        let status = mcore_file_lock_acquire(path, offset, &taken)
        guard status >= 0, let taken else {
            throw SQLiteError(status: CoreStatus(raw: status), detail: path)
        }
        self.pointer = CorePointer(raw: taken)
        self.offset = offset
    }

    deinit { mcore_file_lock_release(pointer.raw) }

    /// Whether anybody, this process too, holds the byte. A missing file holds nothing.
    static func isHeld(path: String, offset: UInt64) throws(SQLiteError) -> Bool {
        var held: UInt32 = 0
        let status = mcore_file_lock_probe(path, offset, &held)
        guard status >= 0 else { throw SQLiteError(status: CoreStatus(raw: status), detail: path) }
        return held != 0
    }
}
