import Foundation
import Synchronization

/// What all calls share.
final class Run: Sendable {
    let measuring = Atomic(false)
    let stopping = Atomic(false)
    private let failures = Atomic(0)
    private let latencies = Mutex(Histogram())

    /// What became of a message that was sent at `start`. Whether to send another.
    func replied(start: UInt64, end: UInt64, right: Bool) -> Bool {
        guard right else {
            failed()
            return false
        }
        if measuring.load(ordering: .relaxed) { latencies.withLock { $0.add(end - start) } }
        return !stopping.load(ordering: .relaxed)
    }

    func failed() { failures.add(1, ordering: .relaxed) }

    /// Prints the figures; whether nothing failed.
    func report(cpu: UInt64, seconds: Double) -> Bool {
        let failed = failures.load(ordering: .relaxed)
        latencies.withLock { histogram in
            let us = { (ns: Double) in String(format: "%.2f", ns / 1e3) }
            print(
                "{\"requests\": \(histogram.count), \"failures\": \(failed),",
                "\"seconds\": \(seconds), \"cpu_us\": \(cpu),",
                "\"p50_us\": \(us(histogram.quantile(0.5))),",
                "\"p99_us\": \(us(histogram.quantile(0.99))),",
                "\"p999_us\": \(us(histogram.quantile(0.999))),",
                "\"max_us\": \(us(Double(histogram.max)))}")
        }
        return failed == 0
    }
}

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// User and system time of this process, in microseconds.
func processorTime() -> UInt64 {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    let us = { (time: timeval) in UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_usec) }
    return us(usage.ru_utime) + us(usage.ru_stime)
}
