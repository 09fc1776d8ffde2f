import ArgumentParser
import Foundation

/// What the fault suite runs: nodes that serve, and callers that keep a journal.
@main
struct Faults: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "faults", abstract: "The processes of the fault suite.",
        subcommands: [
            NodeCommand.self, CallCommand.self, CrowdCommand.self, SetCommand.self,
            StoreWriteCommand.self, StoreCheckCommand.self, StoreFillCommand.self,
        ])
}

/// The clock of all processes of this machine, in milliseconds.
func monotonicMilliseconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) * 1000 + Double(time.tv_nsec) / 1_000_000
}

/// Prints a line at once, also into a file.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
