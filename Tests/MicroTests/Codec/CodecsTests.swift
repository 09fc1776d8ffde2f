import Testing

@testable import Micro

private struct Order: Codable, Sendable, Equatable { var id: String }
private struct Opaque {}

/// A codec of another kind, as a user would bring one.
private struct OrderCodec: Codec {
    var contentType: ContentType { ContentType("application/x-order") ?? .bytes }
    var name: String { "order" }
    func canCarry(_ type: Any.Type) -> Bool { type == Order.self }
    func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
        guard let order = value as? Order else {
            throw MicroError.internalError("order", "no order")
        }
        return Array(order.id.utf8)
    }
    func decode<T: Decodable>(_ type: T.Type, from bytes: RawSpan) throws -> T {
        let id = try TextCodec().decode(String.self, from: bytes)
        guard let order = Order(id: id) as? T else {
            throw MicroError.internalError("order", "no order")
        }
        return order
    }
}

@Suite struct CodecsTests {
    private let codecs = Codecs([JSONCodec(), BytesCodec(), TextCodec()])

    @Test func names() {
        #expect(Codecs().names == ["json", "msgpack", "cbor", "bytes", "text"])
        #expect(
            Codecs([TextCodec(), JSONCodec(maximumDepth: 3), JSONCodec()]).names == [
                "text", "json",
            ])
        #expect(codecs["text"]?.name == "text")
        #expect(codecs["proto"] == nil)
    }

    @Test func preferences() {
        #expect(codecs.carrying([UInt8].self).map(\.name) == ["bytes", "json"])
        #expect(codecs.carrying(String.self).map(\.name) == ["json", "text"])
        #expect(codecs.carrying(Order.self).map(\.name) == ["json"])
        #expect(codecs.carrying(Opaque.self).isEmpty)
        #expect(codecs.preferred(for: [UInt8].self)?.name == "bytes")
        #expect(codecs.preferred(for: String.self)?.name == "json")
        #expect(codecs.preferred(for: Opaque.self) == nil)
        #expect(Codecs([TextCodec(), JSONCodec()]).preferred(for: String.self)?.name == "text")
        #expect(Codecs([JSONCodec()]).preferred(for: [UInt8].self)?.name == "json")
    }

    @Test(
        arguments: [
            (nil, "json"), ("", "json"), ("application/json", "json"), ("Application/JSON", "json"),
            ("application/json; charset=utf-8", "json"),
            ("application/json;charset=\"UTF-8\"", "json"),
            ("application/grpc", "json"), ("application/grpc; x=1", "json"),
            ("application/grpc+json", "json"), ("APPLICATION/GRPC+JSON", "json"),
            ("application/vnd.order.v2+json", "json"), ("application/problem+json", "json"),
        ] as [(String?, String)]) func findsForAStruct(contentType: String?, name: String) throws
    {
        #expect(try codecs.codec(for: contentType, carrying: Order.self).name == name)
    }

    @Test(arguments: [
        "application/octet-stream", "text/plain", "application/grpc+proto",
        "application/grpc+bytes",
        "application/grpc+", "application/grpc-web", "application/x-json", "text/json", "json",
        "application/json, text/plain", "*/*", "application/*", "application/json; charset=utf-16",
        "application/json; charset", "text/vnd.x+json", "application/json+", "application/json\r\n",
        "application/jsonx", " ", "application/x+bytes", "application/grpc+JSON2",
    ]) func refusesForAStruct(contentType: String) throws {
        let error = try #require(throws: MicroError.self) {
            try codecs.codec(for: contentType, carrying: Order.self)
        }
        #expect(error.code == .unsupportedMediaType)
        #expect(error.metadata["accepted"] == "application/json")
        #expect(error.detail.contains("send application/json"))
    }

    @Test func findsForBytesAndText() throws {
        func name(_ contentType: String?, _ type: Any.Type) throws -> String {
            try codecs.codec(for: contentType, carrying: type).name
        }
        #expect(try name(nil, [UInt8].self) == "bytes")
        #expect(try name("application/grpc", [UInt8].self) == "bytes")
        #expect(try name("application/grpc+bytes", [UInt8].self) == "bytes")
        #expect(try name("application/octet-stream", [UInt8].self) == "bytes")
        #expect(try name("application/json", [UInt8].self) == "json")
        #expect(try name("text/plain", String.self) == "text")
        #expect(try name("text/plain; charset=UTF-8", String.self) == "text")
        #expect(try name("text/plain; charset=us-ascii", String.self) == "text")
        #expect(try name("application/grpc+text", String.self) == "text")
        #expect(throws: MicroError.self) { try name("text/plain; charset=latin1", String.self) }
        #expect(throws: MicroError.self) { try name("text/plain", [UInt8].self) }
        let error = try #require(throws: MicroError.self) { try name("a/b", String.self) }
        #expect(error.metadata["accepted"] == "application/json, text/plain")
    }

    @Test func refusalsSayLittleOfLongHeaders() throws {
        let long = "a/" + String(repeating: "b", count: 100_000)
        let error = try #require(throws: MicroError.self) {
            try codecs.codec(for: long, carrying: Order.self)
        }
        #expect(error.detail.count < 300)
    }

    @Test func typesThatNobodyCarries() throws {
        for codecs in [codecs, Codecs([])] {
            for contentType in [nil, "application/json", "x/y"] {
                let error = try #require(throws: MicroError.self) {
                    try codecs.codec(for: contentType, carrying: Opaque.self)
                }
                #expect(error.code == .unsupportedMediaType)
            }
            let error = try #require(throws: MicroError.self) {
                try codecs.negotiate(accept: nil, request: nil, carrying: Opaque.self)
            }
            #expect(error.code == .notAcceptable)
        }
    }

    @Test func ownCodecs() throws {
        let codecs = Codecs([JSONCodec(), OrderCodec()])
        #expect(codecs.carrying(Order.self).map(\.name) == ["json", "order"])
        let codec = try codecs.codec(for: "application/x-order", carrying: Order.self)
        let bytes = try codec.encode(Order(id: "7"))
        #expect(bytes == Array("7".utf8))
        #expect(try codec.decode(Order.self, from: bytes.span.bytes) == Order(id: "7"))
        #expect(
            try codecs.codec(for: "application/grpc+order", carrying: Order.self).name == "order")
        #expect(throws: MicroError.self) {
            try codecs.codec(for: "application/x-order", carrying: String.self)
        }
    }

    typealias Row = (accept: String?, request: String?, name: String?)

    @Test(
        arguments: [
            (nil, "text", "text"), (nil, nil, "json"), ("", "text", "text"),
            (" , ", "text", "text"),
            ("*/*", "text", "text"), ("application/json", "text", "json"),
            ("text/plain", "json", "text"),
            ("text/*;q=0.5, application/json;q=0.4", "json", "text"),
            ("application/json;q=0.4, text/plain;q=0.4", "text", "text"),
            ("application/*", "text", "json"),
            ("application/json;q=0, */*", "json", "text"), ("*/*", "bytes", "json"),
            ("image/png", "json", nil), ("*/*;q=0", "json", nil),
            ("text/plain;charset=utf-16", "json", nil),
            ("rubbish", "json", nil), ("application/vnd.x+json", nil, "json"),
        ] as [Row]) func negotiatesForText(row: Row) throws
    {
        func negotiated() throws -> String {
            try codecs.negotiate(
                accept: row.accept, request: row.request.flatMap { codecs[$0] },
                carrying: String.self
            ).name
        }
        if let name = row.name {
            #expect(try negotiated() == name)
        } else {
            let error = try #require(throws: MicroError.self) { try negotiated() }
            #expect(error.code == .notAcceptable)
            #expect(error.metadata["available"]?.contains("text/plain") == true)
        }
    }

    @Test(
        arguments: [
            (nil, "json"), ("*/*", "json"), ("application/*", "json"),
            ("text/html, application/xhtml+xml, */*;q=0.8", "json"),
            ("application/x-www-form-urlencoded", "form"), ("application/cbor", "cbor"),
        ] as [(String?, String)])
    func aFormIsAnsweredInWhatIsPreferred(accept: String?, name: String) throws {
        let codecs = Codecs(Codecs.standard + [FormCodec()])
        let form = try codecs.codec(
            for: "application/x-www-form-urlencoded", carrying: Order.self)
        #expect(form.name == "form")
        #expect(
            try codecs.negotiate(accept: accept, request: form, carrying: Order.self).name == name)
    }
}
