import Glibc

/// A folder for registers and logs.
struct TemporaryFolder {
    let path: String

    init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/quickstart-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw QuickstartError(
                "cannot make a folder in \(base): \(String(cString: strerror(errno)))")
        }
        path = String(cString: made)
    }

    func size(of name: String) throws -> Int {
        var status = stat()
        guard stat("\(path)/\(name)", &status) == 0 else {
            throw QuickstartError(
                "cannot read \(path)/\(name): \(String(cString: strerror(errno)))")
        }
        return Int(status.st_size)
    }

    /// Removes the files in it, and it.
    func remove() {
        guard let folder = opendir(path) else { return }
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink("\(path)/\(name)")
        }
        closedir(folder)
        rmdir(path)
    }
}
