import ArgumentParser

/// Measures one codec with one document. Before, it has to show that it does the work right.
struct Measure: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure, and print what came out as JSON.")

    @Option(help: "Who does the work: \(CodecName.list).")
    var codec: CodecName
    @Option(help: "What it does.")
    var operation = Operation.decode
    @Option
    var document: DocumentName
    @Flag(help: "With types that have a direct protocol.")
    var direct = false
    @Option(help: "CPU seconds that are counted.")
    var seconds = 0.5
    @Option(help: "CPU seconds before that.")
    var warmup = 0.2
    @Option(help: "Operations that are counted, instead of seconds.")
    var count: Int?

    func run() throws {
        let work = try Work(operation, document, by: codec, direct: direct)
        let counted = try count.map { try repeated(work, $0) } ?? warmed(work)
        let allocations = AllocationCounter()
        let before = (cpu: CPUTime.microseconds, allocations: allocations?.value)
        try work.run(counted)
        let after = (cpu: CPUTime.microseconds, allocations: allocations?.value)
        let cpu = after.cpu - before.cpu
        var fields = [
            "\"operations\": \(counted)", "\"cpu_us\": \(cpu)", "\"bytes\": \(work.bytes)",
        ]
        if let first = before.allocations, let last = after.allocations {
            fields.append("\"allocations\": \(last - first)")
        }
        print("{\(fields.joined(separator: ", "))}")
    }

    /// What is counted has been done before: the first time more is allocated.
    private func repeated(_ work: Work, _ count: Int) throws -> Int {
        try work.run(count)
        return count
    }

    /// Warms up; returns how many operations take as long as asked for.
    private func warmed(_ work: Work) throws -> Int {
        var count = 1
        let begin = CPUTime.microseconds
        while true {
            let before = CPUTime.microseconds
            try work.run(count)
            let now = CPUTime.microseconds
            if now - begin >= warmup * 1e6 {
                return max(1, Int(seconds * 1e6 * Double(count) / max(now - before, 1)))
            }
            count *= 2
        }
    }
}

/// Writes a document as JSON, for programs that are measured in the same way.
struct Write: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Write a document as JSON.")

    @Option
    var document: DocumentName
    @Argument(help: "The file.")
    var path: String

    func run() throws { try writeFile(document.json, to: path) }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print what is measured.")

    @Argument(help: "Whose.")
    var codec = CodecName.json

    func run() { print(codec.version) }
}
