import Glibc

/// `quickstart` starts three greeters and a front door and stays up; `quickstart demo` calls
/// greeters by itself while one of them is killed and another replaced.
@main
struct Quickstart {
    static func main() async {
        Interrupts.watch()
        do {
            switch CommandLine.arguments.dropFirst().first {
            case nil: try await Showcase().run()
            case "demo": exit(try await Demo().run() ? 0 : 1)
            case let unknown?:
                throw QuickstartError("unknown argument \"\(unknown)\": give none, or \"demo\"")
            }
        } catch {
            complain("quickstart: \(error)")
            exit(1)
        }
    }
}

struct QuickstartError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
