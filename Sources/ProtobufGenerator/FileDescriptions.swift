internal import Foundation
internal import SwiftProtobuf
internal import SwiftProtobufPluginLibrary

/// What reflection tells of a .proto: it and all that it imports, each a serialized
/// `google.protobuf.FileDescriptorProto` in base64. Comments are left out.
struct FileDescriptions {
    /// What the generated code calls them.
    static let name = "microDescriptors"

    private let files: [String]

    init(of file: FileDescriptor) throws {
        var seen: Set<String> = []
        var inOrder: [FileDescriptor] = []
        // What is imported comes first.
        func visit(_ file: FileDescriptor) {
            guard seen.insert(file.name).inserted else { return }
            file.dependencies.forEach(visit)
            inOrder.append(file)
        }
        visit(file)
        var options = BinaryEncodingOptions()
        options.useDeterministicOrdering = true
        files = try inOrder.map { file in
            var proto = file.extractProto()
            proto.clearSourceCodeInfo()
            let bytes: [UInt8] = try proto.serializedBytes(options: options)
            return Data(bytes).base64EncodedString()
        }
    }

    func print(to printer: inout CodePrinter) {
        printer.print(
            "", "/// What reflection tells of the services: the .proto and all that it imports.",
            "private let \(Self.name): [Swift.String] = [")
        printer.withIndentation { printer in
            for file in files { printer.print("\"\(file)\",") }
        }
        printer.print("]")
    }
}
