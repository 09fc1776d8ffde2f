internal import ArgumentParser
internal import CTransportKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

struct TransportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transport", abstract: "Looks at transport plugins.",
        subcommands: [TransportTest.self])
}

/// The command line is the kit's own, so that authors without Swift have the same one.
struct TransportTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Runs the conformance kit on a transport plugin.",
        discussion: """
            microctl transport test /opt/acme/rdma.so
            microctl transport test --only abort,close '/opt/acme/rdma.so?queue=64'
            microctl transport test --list

            Prints a line per scenario, with the rule that the plugin breaks, and
            "N passed, M failed". Without arguments, the options are listed.

            Exit codes: 0 success; 1 a scenario failed; 2 nothing could be run.
            """)

    @Argument(parsing: .captureForPassthrough, help: "What the kit takes.")
    var arguments: [String] = []

    func run() throws {
        // The kit keeps its arguments, and ends with the process.
        let texts = (["microctl transport test"] + arguments).map { strdup($0) } + [nil]
        let argv = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
            capacity: texts.count)
        argv.initialize(from: texts, count: texts.count)
        let code = transport_kit_main(texts[0], Int32(texts.count - 1), argv)
        if code != 0 { throw ExitCode(code) }
    }
}
