internal import ArgumentParser
internal import Micro

/// The command line of Micro.
@main
struct MicroCTL: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "microctl",
        abstract: "Looks at services, calls them, and starts new ones.",
        discussion: """
            Services are found in the register that MICRO_REGISTER names, else in the local register
            of this machine: the one that `MicroService` uses when it is told nothing.

              microctl services
              microctl describe greeter
              microctl call greeter Greeter.Hello '{"name":"Ada"}'
              microctl new shop
            """,
        version: "0.1.0",
        subcommands: [Services.self, Describe.self, Call.self, New.self])
}

/// How results are printed.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print JSON, for other programs.")
    var json = false
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
