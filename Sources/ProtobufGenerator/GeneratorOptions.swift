internal import SwiftProtobufPluginLibrary

/// What `--micro-swift_opt` says.
struct GeneratorOptions {
    enum Visibility: String, CaseIterable {
        case `internal` = "Internal"
        case `public` = "Public"
        case package = "Package"

        var keyword: String { rawValue.lowercased() }

        /// What stands before a declaration.
        var modifier: String { self == .internal ? "" : "\(keyword) " }
    }

    enum FileNaming: String, CaseIterable {
        case fullPath = "FullPath"
        case pathToUnderscores = "PathToUnderscores"
        case dropPath = "DropPath"

        /// The name of the file that is generated for a .proto.
        func output(for proto: String) -> String {
            let path = proto.hasSuffix(".proto") ? String(proto.dropLast(6)) : proto
            let name =
                switch self {
                case .fullPath: path
                case .pathToUnderscores: String(path.map { $0 == "/" ? "_" : $0 })
                case .dropPath: path.split(separator: "/").last.map(String.init) ?? path
                }
            return "\(name).micro.swift"
        }
    }

    private(set) var visibility = Visibility.internal
    private(set) var fileNaming = FileNaming.fullPath
    private(set) var mappings = ProtoFileToModuleMappings()
    /// Whether the imports say that they are public, package or internal.
    private(set) var levelsImports = false

    init(_ pairs: [(key: String, value: String)]) throws {
        for (name, value) in pairs {
            switch name {
            case "Visibility": visibility = try Self.choice(name, value)
            case "FileNaming": fileNaming = try Self.choice(name, value)
            case "UseAccessLevelOnImports":
                guard let flag = Bool(value) else {
                    throw GeneratorError("\(name)=\(value): write true or false")
                }
                levelsImports = flag
            case "ProtoPathModuleMappings":
                do {
                    mappings = try ProtoFileToModuleMappings(path: value)
                } catch {
                    throw GeneratorError("\(name)=\(value): \(error)")
                }
            default:
                throw GeneratorError(
                    "unknown option \"\(name)\": there are Visibility, FileNaming, "
                        + "ProtoPathModuleMappings and UseAccessLevelOnImports")
            }
        }
    }

    private static func choice<Choice: CaseIterable & RawRepresentable<String>>(
        _ name: String, _ value: String
    ) throws -> Choice {
        let choice = Choice.allCases.first { $0.rawValue.lowercased() == value.lowercased() }
        guard let choice else {
            let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw GeneratorError("\(name)=\(value): write one of \(names)")
        }
        return choice
    }
}
