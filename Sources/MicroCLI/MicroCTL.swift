internal import ArgumentParser
internal import Micro

/// The command line of Micro.
@main
struct MicroCTL: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "microctl",
        abstract: "Looks at services and stores, calls services, and starts new ones.",
        discussion: """
            Services are found in the register that MICRO_REGISTER names, else in the
            local register of this machine: the one that a service uses by default.

              microctl services
              microctl describe greeter
              microctl call greeter Greeter.Hello '{"name":"Ada"}'
              microctl call 127.0.0.1:8080 greeter.Greeter/Hello '{"name":"Ada"}'
              microctl explain greeter Greeter.Hello
              microctl health greeter
              microctl new shop
              microctl store ls --store sqlite:/var/lib/shop.sqlite
              microctl lock report --sync sqlite:/var/lib/shop.sqlite -- ./report
              microctl transport test ./shm.so

            Results go to standard output, as JSON with --json; errors to standard error.
            Exit codes: 0 success; 64 wrong arguments; else 64 plus the gRPC code of the
            error: 67 invalid, 68 deadline, 69 not found, 70 exists, 73 failed
            precondition, 74 conflict, 76 unimplemented, 77 internal, 78 unavailable.
            """,
        version: "0.1.0",
        subcommands: [
            Services.self, Describe.self, Call.self, Explain.self, HealthCommand.self,
            LockCommand.self, New.self, StoreCommand.self, TransportCommand.self,
        ])
}

/// How results are printed.
struct OutputOptions: ParsableArguments {
    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Flag(name: .customLong("json"), help: "Print JSON, for other programs: as -o json.")
    var isJSON = false

    @Option(name: [.customShort("o"), .customLong("output")], help: "How results are printed.")
    var format = Format.text

    var json: Bool { isJSON || format == .json }
}

/// Where services are looked for.
struct RegisterOptions: ParsableArguments {
    @Option(
        name: .long,
        help: "The register, e.g. local:/run/register.sqlite. Default: MICRO_REGISTER, else local:")
    var register: String?

    /// Opens it, and closes it after `body`.
    func use<T: Sendable>(_ body: (any Register) async throws -> T) async throws -> T {
        let register = try openRegister(register)
        do {
            let result = try await body(register)
            await register.close()
            return result
        } catch {
            await register.close()
            throw error
        }
    }
}
