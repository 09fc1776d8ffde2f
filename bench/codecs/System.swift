import Foundation

enum CPUTime {
    /// User and system time of the process.
    static var microseconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
    }
}

/// How often the system's allocator was called, where the library that counts it is preloaded.
struct AllocationCounter {
    private let descriptor: Int32

    init?() {
        guard let path = ProcessInfo.processInfo.environment["BENCH_ALLOCATIONS"] else {
            return nil
        }
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
    }

    var value: UInt64 {
        var count: UInt64 = 0
        _ = withUnsafeMutableBytes(of: &count) {
            pread(descriptor, $0.baseAddress, $0.count, 0)
        }
        return count
    }
}

func writeFile(_ bytes: [UInt8], to path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
}

/// Takes a value, and lets no compiler know that nothing becomes of it.
@inline(never) @_optimize(none)
func take<T>(_ value: T) {}
