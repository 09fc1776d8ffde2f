import Foundation

/// What this process holds, and the time that it has computed.
struct ProcessState {
    var residentBytes = 0
    var descriptors = 0
    var cpuSeconds = 0.0

    static func now() -> ProcessState {
        var state = ProcessState()
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        for line in status.split(separator: "\n") where line.hasPrefix("VmRSS:") {
            let digits = line.filter(\.isNumber)
            state.residentBytes = (Int(digits) ?? 0) * 1024
        }
        let folder = "/proc/self/fd"
        state.descriptors =
            (try? FileManager.default.contentsOfDirectory(atPath: folder).count) ?? 0
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        for time in [usage.ru_utime, usage.ru_stime] {
            state.cpuSeconds += Double(time.tv_sec) + Double(time.tv_usec) / 1_000_000
        }
        return state
    }
}

/// The slope of a line through points, by least squares.
func slope(_ points: [(x: Double, y: Double)]) -> Double {
    guard points.count > 1 else { return 0 }
    let count = Double(points.count)
    let meanX = points.reduce(0) { $0 + $1.x } / count
    let meanY = points.reduce(0) { $0 + $1.y } / count
    let spread = points.reduce(0) { $0 + ($1.x - meanX) * ($1.x - meanX) }
    guard spread > 0 else { return 0 }
    return points.reduce(0) { $0 + ($1.x - meanX) * ($1.y - meanY) } / spread
}

/// Prints a line at once, also into a file.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
