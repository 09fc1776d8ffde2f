internal import Micro

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A file to be made, below the package's folder.
struct NewFile {
    let path: String
    let text: String
}

/// Makes the folder, which must not exist, and the files in it.
func writeFiles(_ files: [NewFile], in folder: String) throws {
    guard mkdir(folder, 0o777) == 0 else {
        throw errno == EEXIST
            ? MicroError.alreadyExists(
                "microctl.new", "\(folder) is there already: choose another name, or remove it")
            : failure("make the folder", folder)
    }
    for file in files {
        var parent = folder
        for part in file.path.split(separator: "/").dropLast() {
            parent += "/\(part)"
            guard mkdir(parent, 0o777) == 0 || errno == EEXIST else {
                throw failure("make the folder", parent)
            }
        }
        try write(file.text, to: "\(folder)/\(file.path)")
    }
}

/// The path without links and dots. It must exist.
func absolutePath(_ path: String) throws -> String {
    guard let resolved = realpath(path, nil) else { throw failure("find", path) }
    defer { free(resolved) }
    return String(cString: resolved)
}

func isFile(_ path: String) -> Bool { access(path, R_OK) == 0 }

private func write(_ text: String, to path: String) throws {
    guard let file = fopen(path, "wx") else { throw failure("make", path) }
    var text = text
    let written = text.withUTF8 { fwrite($0.baseAddress, 1, $0.count, file) == $0.count }
    guard fclose(file) == 0, written else { throw failure("write", path) }
}

private func failure(_ what: String, _ path: String) -> MicroError {
    MicroError(
        "microctl.new", .failedPrecondition,
        "cannot \(what) \(path): \(String(cString: strerror(errno)))")
}
