internal import ArgumentParser
internal import Foundation

/// The public interoperability tests of gRPC: a server and a client that others can be set against.
@main
struct MicroInterop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "micro-interop",
        abstract: "The interoperability tests of gRPC: their server, and their client.",
        discussion: """
              micro-interop server --port 8080
              micro-interop client --port 8080
              micro-interop client --host 10.0.0.7 --port 8080 --case large_unary
              micro-interop server --port 8443 --tls --cert server.pem --key server.key
              micro-interop client --port 8443 --tls --ca ca.pem
            """,
        subcommands: [ServerCommand.self, ClientCommand.self])
}

/// One line on standard output, at once.
func printLine(_ text: String) {
    FileHandle.standardOutput.write(Data("\(text)\n".utf8))
}
