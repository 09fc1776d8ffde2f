#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// The seed that simulations are run with again.
package enum SimulationSeed {
    package static let variable = "MICRO_SIMULATION_SEED"

    /// What the environment variable says; nil: nothing.
    ///
    /// - Throws: ``MicroError`` invalidArgument when it is no whole number.
    package static func chosen() throws -> UInt64? { try parse(ProcessEnvironment[variable]) }

    static func parse(_ text: String?) throws -> UInt64? {
        guard let text else { return nil }
        guard let seed = UInt64(text) else {
            throw MicroError.invalid(
                "simulation", "\(variable) is \"\(text.prefix(64))\": it must be a whole number",
                at: variable)
        }
        return seed
    }

    /// Writes a line for the person who runs the tests.
    package static func report(_ line: String) {
        let bytes = Array("micro: \(line)\n".utf8)
        _ = write(2, bytes, bytes.count)
    }
}
