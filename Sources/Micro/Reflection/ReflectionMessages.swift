/// `grpc.reflection.v1.ServerReflectionRequest`, and that of v1alpha, which is the same.
package struct ReflectionRequest: WireMessage, Hashable {
    package enum Question: Sendable, Hashable {
        case file(named: String)
        case fileContaining(symbol: String)
        case fileContainingExtension(UInt32, of: String)
        case extensions(of: String)
        case services
    }

    package var host = ""
    /// Nil when nothing was asked that is known here.
    package var question: Question?

    package init(_ question: Question) { self.question = question }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): host = try reader.string(range)
            case (3, .bytes(let range)): question = .file(named: try reader.string(range))
            case (4, .bytes(let range)):
                question = .fileContaining(symbol: try reader.string(range))
            case (5, .bytes(let range)):
                question = try Self.fileContainingExtension(reader.message(range))
            case (6, .bytes(let range)): question = .extensions(of: try reader.string(range))
            case (7, .bytes): question = .services
            default: break
            }
        }
    }

    private static func fileContainingExtension(
        _ reader: ProtobufReader
    ) throws(ProtobufError) -> Question {
        var reader = reader
        var (type, number) = ("", UInt32(0))
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): type = try reader.string(range)
            case (2, .varint(let bits)): number = UInt32(truncatingIfNeeded: bits)
            default: break
            }
        }
        return .fileContainingExtension(number, of: type)
    }

    package func write(to writer: inout ProtobufWriter) {
        if !host.isEmpty { writer.string(1, host) }
        switch question {
        case .file(let name): writer.string(3, name)
        case .fileContaining(let symbol): writer.string(4, symbol)
        case .fileContainingExtension(let number, let type):
            writer.message(5) { message in
                message.string(1, type)
                message.varint(2, UInt64(number))
            }
        case .extensions(let type): writer.string(6, type)
        case .services: writer.string(7, "*")
        case nil: break
        }
    }
}

/// `grpc.reflection.v1.ServerReflectionResponse`, and that of v1alpha, which is the same.
package struct ReflectionResponse: WireMessage, Hashable {
    package enum Answer: Sendable, Hashable {
        /// Each a `google.protobuf.FileDescriptorProto`.
        case files([[UInt8]])
        case extensions([UInt32], of: String)
        case services([String])
        case failure(rpcCode: UInt32, message: String)
    }

    package var request: ReflectionRequest?
    /// Nil when the server answered something that is not known here.
    package var answer: Answer?

    package init(_ answer: Answer, to request: ReflectionRequest) {
        self.answer = answer
        self.request = request
    }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (2, .bytes(let range)): request = try reader.nested(range)
            case (4, .bytes(let range)): answer = .files(try Self.files(reader.message(range)))
            case (5, .bytes(let range)): answer = try Self.extensions(reader.message(range))
            case (6, .bytes(let range)):
                answer = .services(try Self.services(reader.message(range)))
            case (7, .bytes(let range)): answer = try Self.failure(reader.message(range))
            default: break
            }
        }
    }

    private static func files(_ reader: ProtobufReader) throws(ProtobufError) -> [[UInt8]] {
        var reader = reader
        var files: [[UInt8]] = []
        while let field = try reader.next() {
            if case (1, .bytes(let range)) = (field.number, field.value) {
                files.append(reader.bytes(range))
            }
        }
        return files
    }

    private static func extensions(_ reader: ProtobufReader) throws(ProtobufError) -> Answer {
        var reader = reader
        var (type, numbers) = ("", [UInt32]())
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): type = try reader.string(range)
            case (2, .varint(let bits)): numbers.append(UInt32(truncatingIfNeeded: bits))
            case (2, .bytes(let range)):
                var packed = reader.message(range)
                while let bits = try packed.packedVarint() {
                    numbers.append(UInt32(truncatingIfNeeded: bits))
                }
            default: break
            }
        }
        return .extensions(numbers, of: type)
    }

    private static func services(_ reader: ProtobufReader) throws(ProtobufError) -> [String] {
        var reader = reader
        var names: [String] = []
        while let field = try reader.next() {
            guard case (1, .bytes(let range)) = (field.number, field.value) else { continue }
            var service = reader.message(range)
            while let part = try service.next() {
                if case (1, .bytes(let range)) = (part.number, part.value) {
                    names.append(try service.string(range))
                }
            }
        }
        return names
    }

    private static func failure(_ reader: ProtobufReader) throws(ProtobufError) -> Answer {
        var reader = reader
        var (code, message) = (UInt32(2), "")
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .varint(let bits)): code = UInt32(truncatingIfNeeded: bits)
            case (2, .bytes(let range)): message = try reader.string(range)
            default: break
            }
        }
        return .failure(rpcCode: code, message: message)
    }

    package func write(to writer: inout ProtobufWriter) {
        if let request {
            if !request.host.isEmpty { writer.string(1, request.host) }
            writer.message(2) { request.write(to: &$0) }
        }
        switch answer {
        case .files(let files):
            writer.message(4) { list in
                for file in files { list.bytes(1, file) }
            }
        case .extensions(let numbers, let type):
            writer.message(5) { list in
                list.string(1, type)
                for number in numbers { list.varint(2, UInt64(number)) }
            }
        case .services(let names):
            writer.message(6) { list in
                for name in names { list.message(1) { $0.string(1, name) } }
            }
        case .failure(let code, let message):
            writer.message(7) { error in
                error.varint(1, UInt64(code))
                error.string(2, message)
            }
        case nil: break
        }
    }
}
