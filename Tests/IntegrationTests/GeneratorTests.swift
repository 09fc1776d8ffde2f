import Foundation
import Testing

extension EndToEnd {
    /// protoc with our plugin.
    @Suite struct GeneratorTests {
        private func protoc(
            _ folder: TestFolder, protos: String? = nil, options: String = "", _ files: String...
        ) async throws -> Program.Result {
            try await Program.run(
                "protoc",
                [
                    "-I", protos ?? folder.path,
                    "--plugin=protoc-gen-micro-swift=\(Installation.generator)",
                    "--micro-swift_out=\(options):\(folder.path)",
                ] + files)
        }

        /// What is in the tree is what the plugin writes.
        @Test(arguments: [
            ("Sources/Interop", "grpc/testing/test", ""),
            ("Tests/MicroProtobufTests", "micro/test/v1/orders", ""),
            ("Tests/ProtobufNames", "names", "Visibility=Public,UseAccessLevelOnImports=true"),
        ])
        func golden(place: String, file: String, options: String) async throws {
            let folder = try TestFolder()
            let result = try await protoc(
                folder, protos: "\(Installation.root)/\(place)/Protos", options: options,
                "\(file).proto")
            #expect(result.exit == .code(0), "\(result.errors)")
            let path = "\(Installation.root)/\(place)/Generated/\(file).micro.swift"
            let committed = try String(contentsOfFile: path, encoding: .utf8)
            #expect(try folder.text(of: "\(file).micro.swift") == committed, "make generate")
        }

        private static let greeter = """
            syntax = "proto3";
            package a.b;
            message M {}
            service Greeter { rpc Hello(M) returns (M); }

            """

        private func write(_ text: String, to name: String, in folder: TestFolder) throws {
            let path = "\(folder.path)/\(name)"
            try FileManager.default.createDirectory(
                atPath: String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]),
                withIntermediateDirectories: true)
            try folder.write(text, to: name)
        }

        @Test(arguments: [
            ("", "x/y.micro.swift"), ("FileNaming=FullPath", "x/y.micro.swift"),
            ("FileNaming=PathToUnderscores", "x_y.micro.swift"),
            ("FileNaming=DropPath", "y.micro.swift"), ("FileNaming=droppath", "y.micro.swift"),
        ])
        func fileNames(options: String, name: String) async throws {
            let folder = try TestFolder()
            try write(Self.greeter, to: "x/y.proto", in: folder)
            let result = try await protoc(folder, options: options, "x/y.proto")
            #expect(result.exit == .code(0), "\(result.errors)")
            #expect(try folder.text(of: name).contains("protocol A_B_GreeterService"))
        }

        @Test(arguments: [
            ("", "\nprotocol ", "\nimport Micro\n"),
            ("Visibility=Internal", "\nprotocol ", "\nimport Micro\n"),
            ("Visibility=Public", "\npublic protocol ", "\nimport Micro\n"),
            ("Visibility=package", "\npackage protocol ", "\nimport Micro\n"),
            (
                "Visibility=Public,UseAccessLevelOnImports=true", "\npublic protocol ",
                "\npublic import Micro\ninternal import MicroProtobuf\n"
            ),
        ])
        func visibility(options: String, declaration: String, imports: String) async throws {
            let folder = try TestFolder()
            try write(Self.greeter, to: "y.proto", in: folder)
            let result = try await protoc(folder, options: options, "y.proto")
            #expect(result.exit == .code(0), "\(result.errors)")
            let text = try folder.text(of: "y.micro.swift")
            #expect(text.contains(declaration), "\(text)")
            #expect(text.contains(imports), "\(text)")
        }

        @Test func modulesOfOthersAreImported() async throws {
            let folder = try TestFolder()
            try write(
                "syntax = \"proto3\"; package c; message Other {}", to: "c.proto", in: folder)
            try write(
                """
                syntax = "proto3";
                import "c.proto";
                import "google/protobuf/empty.proto";
                service Greeter { rpc Hello(c.Other) returns (google.protobuf.Empty); }
                """, to: "y.proto", in: folder)
            try folder.write(
                "mapping { module_name: \"Others\" proto_file_path: \"c.proto\" }", to: "modules")
            let result = try await protoc(
                folder, options: "ProtoPathModuleMappings=\(folder.path)/modules", "y.proto")
            #expect(result.exit == .code(0), "\(result.errors)")
            let text = try folder.text(of: "y.micro.swift")
            #expect(text.contains("import Others\nimport SwiftProtobuf\n"))
            #expect(
                text.contains("Endpoint<Others.C_Other, SwiftProtobuf.Google_Protobuf_Empty>"))
        }

        @Test(arguments: [
            ("Color=Red", "unknown option \"Color\": there are Visibility"),
            ("Visibility=Secret", "Visibility=Secret: write one of Internal, Public, Package"),
            ("Visibility", "Visibility=: write one of"),
            ("FileNaming=Flat", "FileNaming=Flat: write one of FullPath, PathToUnderscores"),
            ("UseAccessLevelOnImports=yes", "UseAccessLevelOnImports=yes: write true or false"),
            ("ProtoPathModuleMappings=/nowhere", "ProtoPathModuleMappings=/nowhere: "),
        ])
        func optionsThatAreWrong(options: String, error: String) async throws {
            let folder = try TestFolder()
            try write(Self.greeter, to: "y.proto", in: folder)
            let result = try await protoc(folder, options: options, "y.proto")
            #expect(result.exit == .code(1))
            #expect(result.errors.contains(error), "\(result.errors)")
            #expect(throws: (any Error).self) { try folder.text(of: "y.micro.swift") }
        }

        @Test(arguments: [
            (
                "message GreeterClient {} service Greeter {}",
                "two types would be called GreeterClient"
            ),
            ("message Micro {}  service Greeter {}", "called Micro would hide the module"),
            (
                "message M {} service Greeter { rpc init(M) returns (M); rpc initMethod(M) returns (M); }",
                "two methods of GreeterService would be called initMethod"
            ),
        ])
        func namesThatCollide(declarations: String, error: String) async throws {
            let folder = try TestFolder()
            try write("syntax = \"proto3\"; \(declarations)\n", to: "y.proto", in: folder)
            let result = try await protoc(folder, "y.proto")
            #expect(result.exit == .code(1))
            #expect(result.errors.contains("y.proto: "), "\(result.errors)")
            #expect(result.errors.contains(error), "\(result.errors)")
        }

        @Test func aFileWithoutServicesIsLeftOut() async throws {
            let folder = try TestFolder()
            try write("syntax = \"proto3\"; message M {}\n", to: "y.proto", in: folder)
            let result = try await protoc(folder, "y.proto")
            #expect(result.exit == .code(0), "\(result.errors)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["y.proto"])
        }
    }
}
