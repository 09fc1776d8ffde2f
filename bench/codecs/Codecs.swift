import ArgumentParser

/// What codecs take for a message: ours, and those that they are compared with. The documents are
/// the same for all, and are made here: each run makes the same ones.
@main
struct Codecs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codecs", subcommands: [Measure.self, Write.self, Version.self])
}
