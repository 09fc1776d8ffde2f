import ArgumentParser
import Foundation

/// The echo service of the bench suite on Micro, and calls of it by Micro's client. Each peer has a
/// program of the same form.
@main
struct Echo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo", subcommands: [Serve.self, Call.self, Version.self])
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print what is measured.")

    func run() { print("micro 0.1.0") }
}

/// How messages are written.
enum MessageCodec: String, ExpressibleByArgument, CaseIterable {
    case bytes, protobuf, json
}

/// Echo_Note for the codecs of `Codable` types.
struct PlainNote: Codable, Sendable, Equatable {
    var id: UInt64
    var text: String
}

/// Prints a line at once, also into a file or a pipe.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
