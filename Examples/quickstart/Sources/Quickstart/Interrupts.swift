import Glibc
import Synchronization

/// Counts Ctrl-C and SIGTERM, so that children are ended before this process ends.
enum Interrupts {
    private static let counter = Atomic<Int>(0)

    static var count: Int { counter.load(ordering: .relaxed) }

    static func watch() {
        _ = count  // makes the counter here: not in a handler, where nothing may be allocated
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in Interrupts.counter.wrappingAdd(1, ordering: .relaxed) }
        }
    }
}
