internal import ArgumentParser
internal import Micro

/// `microctl new NAME`
struct New: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes a package with a service, a client and a test.",
        discussion: """
              microctl new shop
              cd shop && swift test
            """)

    @Argument(help: "The name of the service: lower-case letters, digits and \"-\".")
    var name: String

    @Option(
        name: .long,
        help: "The folder of Micro's own package. Default: the one that microctl was built from.")
    var micro: String?

    @Flag(name: .long, help: "Print JSON, for other programs.")
    var json = false

    private struct Made: Encodable {
        let folder: String
        let files: [String]
    }

    func validate() throws {
        let isName = name.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || byte == UInt8(ascii: "-")
        }
        guard isName, let first = name.first, first.isLetter, name.last != "-", name.count <= 60
        else {
            throw ValidationError(
                "\"\(name)\" can't be the name of a service: it needs lower-case letters, digits"
                    + " and \"-\", a letter first, no \"-\" last, at most 60")
        }
        guard !New.taken.contains(name) else {
            throw ValidationError("\"\(name)\" can't be the name of a service: it is taken")
        }
    }

    /// The library's own package, and what a Swift module can't be called.
    private static let taken = ["main", "micro", "microctl", "swift"]

    func run() async throws {
        try await reportingErrors {
            let template = PackageTemplate(
                name: name, microPath: try microPackage(micro ?? New.ownPackage))
            let files = template.files
            try writeFiles(files, in: name)
            guard !json else {
                return try printJSON(Made(folder: name, files: files.map(\.path)))
            }
            print(
                """
                made \(name)/ with \(files.count) files

                  cd \(name)
                  swift test
                  swift run \(name) &
                  swift run \(name)-client Ada
                """)
        }
    }

    private func microPackage(_ folder: String) throws -> String {
        guard isFile("\(folder)/Package.swift"), isFile("\(folder)/include/mcore/server.h") else {
            throw MicroError(
                "microctl.new", .failedPrecondition,
                "\(folder) is not the folder of Micro: name it with --micro")
        }
        return try absolutePath(folder)
    }

    /// Three folders above this file: where the package was built.
    private static var ownPackage: String {
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
            .joined(separator: "/")
    }
}
