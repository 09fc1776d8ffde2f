import CCores
import Foundation
import NIOCore

@main
struct Main {
    static func main() async throws {
        let words = CommandLine.arguments.dropFirst()
        switch words.first {
        case "version":
            // Of the packages in Package.swift.
            print("gRPC Swift 2.4.3 (transport 2.9.2, protobuf 2.4.1)")
        case "serve":
            let options = Options(command: "serve", words: Array(words.dropFirst()))
            cores_limit(Int32(options.loops))
            try await serve(options)
        case "call":
            let options = Options(command: "call", words: Array(words.dropFirst()))
            NIOSingletons.groupLoopCountSuggestion = Int(cores_count())
            exit(try await call(options) ? 0 : 1)
        default:
            refuse("serve, call or version?")
        }
    }
}
