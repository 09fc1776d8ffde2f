import Testing

@testable import Micro

struct DescriptorIndexTests {
    private func file(_ name: String, imports: String...) -> FileDescriptor {
        var file = FileDescriptor(name: "\(name).proto", package: "")
        file.dependencies = imports.map { "\($0).proto" }
        return file
    }

    private func names(_ files: [[UInt8]]?) throws -> [String]? {
        try files?.map { try FileDescriptor(protobuf: $0).name }
    }

    @Test func everythingThatIsDefinedIsFound() throws {
        var file = FileDescriptor(name: "a.proto", package: "p.q")
        var message = MessageDescriptor("M", [FieldDescriptor("field", 1, .int32)])
        message.oneofs = ["choice"]
        message.messages = [MessageDescriptor("Inner", [FieldDescriptor("deep", 1, .bool)])]
        message.enums = [EnumDescriptor("Color", ["RED": 0])]
        var nested = FieldDescriptor("nested_extension", 101, .string)
        nested.extendee = ".p.q.M"
        message.extensions = [nested]
        file.messages = [message]
        file.enums = [EnumDescriptor("Size", ["SMALL": 0])]
        file.services = [ServiceDescriptor("S", [.init("Do", ".p.q.M", ".p.q.M")])]
        var outer = nested
        outer.name = "extension"
        outer.number = 100
        file.extensions = [outer]

        var index = DescriptorIndex()
        try index.add(file.protobuf)
        for symbol in [
            "M", "M.field", "M.choice", "M.Inner", "M.Inner.deep", "M.Color", "M.RED",
            "M.nested_extension", "Size", "SMALL", "S", "S.Do", "extension",
        ] {
            #expect(index.file(containing: "p.q.\(symbol)") == "a.proto", "\(symbol)")
        }
        #expect(index.file(containing: "p.q") == nil)
        #expect(index.file(containing: "p.q.M.Color.RED") == nil)
        #expect(index.file(containing: 100, of: "p.q.M") == "a.proto")
        #expect(index.file(containing: 102, of: "p.q.M") == nil)
        #expect(index.extensions(of: "p.q.M") == [100, 101])
        #expect(index.extensions(of: "p.q.N") == nil)
    }

    @Test func importsAreFollowedToTheirEnd() throws {
        var index = DescriptorIndex()
        // A diamond, a circle, and one that is not there.
        for file in [
            file("a", imports: "b", "c"), file("b", imports: "d"), file("c", imports: "d"),
            file("d", imports: "a", "gone"),
        ] {
            try index.add(file.protobuf)
        }
        #expect(index.missing == ["gone.proto"])
        var sent: Set<String> = []
        #expect(
            try names(index.files(from: "a.proto", sent: &sent)) == [
                "a.proto", "b.proto", "c.proto", "d.proto",
            ])
        #expect(try names(index.files(from: "b.proto", sent: &sent)) == ["b.proto"])
        #expect(index.files(from: "gone.proto", sent: &sent) == nil)
    }

    @Test func twoExtensionsOfOneNumberCollide() async throws {
        var index = DescriptorIndex()
        for (name, isFirst) in [("a", true), ("b", false)] {
            var file = file(name)
            var field = FieldDescriptor("x_\(name)", 100, .string)
            field.extendee = ".M"
            file.extensions = [field]
            if isFirst {
                try index.add(file.protobuf)
            } else {
                let error = try await microError { try index.add(file.protobuf) }
                #expect(error.detail.contains("both extend M with the number 100"))
            }
        }
    }

    @Test func whatIsOnlyCompiledDifferentlyIsTheSame() throws {
        var index = DescriptorIndex()
        let bytes = file("a").protobuf
        try index.add(bytes)
        // Options, and a field of the future.
        try index.add(bytes + [0x42, 0x02, 0x10, 0x01] + [0xF8, 0x07, 0x01])
        index.addUnlessKnown(file("a", imports: "b").protobuf)
        #expect(index.missing.isEmpty)
    }

    @Test func descriptorsAreReadAsTheyWereWritten() throws {
        for bytes in FileDescriptor.ownFiles {
            #expect(try FileDescriptor(protobuf: bytes).protobuf == bytes)
        }
    }

    /// Bytes of anybody: an error or a file, never a trap.
    @Test func garbageIsRefused() async throws {
        var random = SeededRandom(seed: 7)
        for _ in 0..<2000 {
            var bytes = FileDescriptor.ownFiles[0]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(
                    in: 0...255, using: &random)
            }
            var index = DescriptorIndex()
            try? index.add(Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))))
        }
        var nested: [UInt8] = []
        for _ in 0..<200 {
            var writer = ProtobufWriter()
            writer.bytes(3, nested)
            nested = writer.bytes
        }
        var writer = ProtobufWriter()
        writer.bytes(4, nested)
        let bytes = writer.bytes
        var index = DescriptorIndex()
        let error = try await microError { try index.add(bytes) }
        #expect(error.detail.contains("nested deeper"))
    }
}
