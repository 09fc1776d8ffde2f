import Foundation

/// Work of a given length for a processor: it computes until the thread has used so much of its
/// time, whoever else is running meanwhile.
struct Spinning: Sendable {
    let microseconds: Int

    func spin() {
        let end = Spinning.threadMicroseconds + microseconds
        while Spinning.threadMicroseconds < end {}
    }

    private static var threadMicroseconds: Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }
}
