/// `google.protobuf.ServiceDescriptorProto`
package struct ServiceDescriptor: WireMessage, Hashable {
    /// `google.protobuf.MethodDescriptorProto`
    package struct Method: WireMessage, Hashable {
        package var name = ""
        /// The messages, each ".package.Name".
        package var input = ""
        package var output = ""
        package var streamsRequests = false
        package var streamsReplies = false

        package init(_ name: String, _ input: String, _ output: String, _ kind: CallKind = .unary) {
            self.name = name
            self.input = input
            self.output = output
            streamsRequests = kind.streamsRequests
            streamsReplies = kind.streamsReplies
        }

        package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
            while let field = try reader.next() {
                switch (field.number, field.value) {
                case (1, .bytes(let range)): name = try reader.string(range)
                case (2, .bytes(let range)): input = try reader.string(range)
                case (3, .bytes(let range)): output = try reader.string(range)
                case (5, .varint(let flag)): streamsRequests = flag != 0
                case (6, .varint(let flag)): streamsReplies = flag != 0
                default: break
                }
            }
        }

        package func write(to writer: inout ProtobufWriter) {
            writer.string(1, name)
            writer.string(2, input)
            writer.string(3, output)
            if streamsRequests { writer.varint(5, 1) }
            if streamsReplies { writer.varint(6, 1) }
        }
    }

    package var name = ""
    package var methods: [Method] = []

    package init(_ name: String, _ methods: [Method]) {
        self.name = name
        self.methods = methods
    }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): name = try reader.string(range)
            case (2, .bytes(let range)): methods.append(try reader.nested(range))
            default: break
            }
        }
    }

    package func write(to writer: inout ProtobufWriter) {
        writer.string(1, name)
        for method in methods { writer.message(2) { method.write(to: &$0) } }
    }
}
