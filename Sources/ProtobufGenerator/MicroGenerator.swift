internal import SwiftProtobuf
internal import SwiftProtobufPluginLibrary

/// The plugin `protoc-gen-micro-swift` of protoc: for the services of each .proto it writes a
/// `.micro.swift`. The messages are the work of swift-protobuf's `protoc-gen-swift`.
@main
struct MicroGenerator: CodeGenerator {
    var supportedFeatures: [Google_Protobuf_Compiler_CodeGeneratorResponse.Feature] {
        [.proto3Optional, .supportsEditions]
    }

    var supportedEditionRange: ClosedRange<Google_Protobuf_Edition> { .proto2 ... .edition2024 }

    func generate(
        files: [FileDescriptor], parameter: any CodeGeneratorParameter,
        protoCompilerContext: any ProtoCompilerContext, generatorOutputs: any GeneratorOutputs
    ) throws {
        let options = try GeneratorOptions(parameter.parsedPairs)
        for file in files where !file.services.isEmpty {
            try generatorOutputs.add(
                fileName: options.fileNaming.output(for: file.name),
                contents: try ServiceFile(file, options).text)
        }
    }

    func printHelp() {
        print(
            """
            A plugin of protoc: writes the services of .proto files for Micro, as X.micro.swift.

              protoc --swift_out=Generated --micro-swift_out=Generated greeter.proto

            The messages come from protoc-gen-swift (--swift_out), which is part of swift-protobuf.
            Options, each given as --micro-swift_opt=NAME=VALUE; the first three mean what they mean
            to protoc-gen-swift and should be the same:

              Visibility=Internal|Public|Package
              FileNaming=FullPath|PathToUnderscores|DropPath
              ProtoPathModuleMappings=FILE
              UseAccessLevelOnImports=true|false
            """)
    }
}

/// What protoc is told when nothing can be generated.
struct GeneratorError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
