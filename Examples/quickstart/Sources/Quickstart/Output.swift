import Glibc

/// Prints a line at once, also into a pipe.
func say(_ text: String) { line(text, to: STDOUT_FILENO) }

/// The same, on standard error.
func complain(_ text: String) { line(text, to: STDERR_FILENO) }

private func line(_ text: String, to file: Int32) {
    var text = text + "\n"
    text.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
            let written = write(file, rest.baseAddress, rest.count)
            guard written > 0 else { return }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(written))
        }
    }
}
