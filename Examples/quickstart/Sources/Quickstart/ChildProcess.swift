import Glibc

/// A process that was started from an executable beside this one.
final class ChildProcess: @unchecked Sendable {  // one task uses it at a time
    let name: String
    let pid: pid_t
    private var exitStatus: Int32?

    /// - Parameter environment: Set in addition to what this process has.
    init(_ name: String, environment: [String: String] = [:]) throws {
        let path = try ChildProcess.folder + "/" + name
        var variables = ChildProcess.inherited.filter { !environment.keys.contains($0.key) }
        variables.merge(environment) { _, new in new }

        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(path), nil]
        var settings: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0.key)=\($0.value)") }
        settings.append(nil)
        defer { for text in arguments + settings { free(text) } }

        var pid = pid_t()
        let failure = posix_spawn(&pid, path, nil, nil, &arguments, &settings)
        guard failure == 0 else {
            throw DemoError("cannot start \(path): \(String(cString: strerror(failure)))")
        }
        self.name = name
        self.pid = pid
    }

    func send(_ signal: Int32) { if exitStatus == nil { kill(pid, signal) } }

    /// The exit status if it has ended: 0 is success, 128 + n is a signal.
    func poll() -> Int32? {
        if exitStatus == nil {
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
            exitStatus = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
        }
        return exitStatus
    }

    private static var folder: String {
        get throws {
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
            guard count > 0 else { throw DemoError("cannot find the folder of this executable") }
            let path = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
            return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        }
    }

    private static var inherited: [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let line = entry.pointee {
            let parts = String(cString: line).split(separator: "=", maxSplits: 1)
            if let name = parts.first { variables[String(name)] = parts.count > 1 ? String(parts[1]) : "" }
            entry += 1
        }
        return variables
    }
}

struct DemoError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
