import Glibc

/// `quickstart` starts three greeters and a front door and stays up; `quickstart demo` is the same
/// without hands, with calls, a killed greeter and one that is restarted.
@main
struct Quickstart {
    static func main() async {
        do {
            switch CommandLine.arguments.dropFirst().first {
            case nil: try await Showcase().run()
            case "demo": exit(try await Demo().run() ? 0 : 1)
            case let unknown?:
                throw DemoError("unknown argument \"\(unknown)\": give none, or \"demo\"")
            }
        } catch {
            complain("quickstart: \(error)")
            exit(1)
        }
    }
}
