public import Micro

/// Checks that an implementation keeps the promises of ``Codec`` for `Codable` types.
///
///     @Test func keepsTheContract() throws {
///         try CodecConformance(MyCodec()).run()
///     }
public struct CodecConformance: Sendable {
    private let codec: any Codec

    /// What a format can hold. A form has one object of scalars and lists of them.
    public struct Limits: OptionSet, Sendable {
        /// Which of them.
        public let rawValue: Int
        /// Makes a set.
        public init(rawValue: Int) { self.rawValue = rawValue }
        /// No objects in the object, and no lists in lists.
        public static let isFlat = Limits(rawValue: 1)
        /// A message that is cut off may still be one: a line of text is.
        public static let isOpenEnded = Limits(rawValue: 2)
    }

    private let limits: Limits

    /// Makes the suite.
    ///
    /// - Parameters:
    ///   - codec: What is checked.
    ///   - limits: What its format cannot hold. Default: it holds everything.
    public init(_ codec: any Codec, limits: Limits = []) {
        self.codec = codec
        self.limits = limits
    }

    /// Runs all checks, also when some fail.
    ///
    /// - Throws: ``ConformanceFailure`` with every check that failed.
    public func run() async throws {
        try await runChecks(checks, only: nil, name: \.name) { try $0.body() }
    }

    private typealias Check = (name: String, body: @Sendable () throws -> Void)

    private var checks: [Check] {
        let flat: [Check] = [
            ("scalars", scalars), ("wrongTypes", wrongTypes), ("numbersThatDoNotFit", misfits),
            ("missingFields", missingFields), ("unknownFields", unknownFields),
            ("emptyMessages", emptyMessages), ("determinism", determinism),
            ("keptDecoders", keptDecoders), ("threads", threads),
        ]
        let nested: [Check] = [
            ("trees", trees), ("containers", containers), ("inheritance", inheritance),
            ("orderOfAdditions", orderOfAdditions), ("paths", paths), ("probing", probing),
            ("topLevel", topLevel), ("dictionaries", dictionaries), ("depth", depth),
        ]
        let closed: [Check] = [("truncation", truncation)]
        return flat + (limits.contains(.isFlat) ? [] : nested)
            + (limits.contains(.isOpenEnded) ? [] : closed)
    }

    private func roundTrip<T: Codable & Equatable>(_ value: T) throws {
        let bytes = try codec.encode(value)
        let back = try codec.decode(T.self, from: bytes.span.bytes)
        try expect(value, back, "what comes back of \(T.self)")
    }

    /// `value` as it is written, read as another type, which has to be refused.
    private func refuse<T: Decodable>(
        _ value: some Encodable, as type: T.Type, naming field: String? = nil
    ) throws {
        let bytes = try codec.encode(value)
        do {
            _ = try codec.decode(type, from: bytes.span.bytes)
        } catch let error as MicroError {
            try expect(.invalidArgument, error.code, "the code for \(value) as \(type)")
            if let field {
                try expect(field, error.metadata["field"], "the field of \(value) as \(type)")
                try require(error.detail.contains(field), "\(error) does not name \(field)")
            }
            return
        }
        throw Wrong("\(value) is taken for \(type)")
    }
}

// MARK: - Values of one level

private struct Scalars: Codable, Equatable {
    var truth = true
    var text = "é日😀\u{0}\n\"\\/ +&=%"
    var empty = ""
    var whole = Int.min
    var (int8, int16, int32, int64) = (Int8.min, Int16.max, Int32.min, Int64.max)
    var (uint, uint8) = (UInt.max, UInt8.max)
    var (uint16, uint32, uint64) = (UInt16.max, UInt32.max, UInt64.max)
    var double = 0.1
    var float: Float = 0.1
    var reals = [
        0, -0.0, 1.5, -1e300, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1 / 3,
        123456789.125, 1e21, 1e-7,
    ]
    var floats: [Float] = [1 / 3, .greatestFiniteMagnitude, .leastNonzeroMagnitude, -2]
    var texts = ["", "a", "a b"]
    var wholes = [Int64.min, -1, 0, 1, 23, 24, 127, 128, 255, 256, 65535, 65536, 4_294_967_296]
    var bytes: [UInt8] = [0, 1, 127, 128, 255]
    var none: Int?
    var some: Int? = 7
    var choice = Choice.second
    enum Choice: String, Codable { case first, second }
}

extension CodecConformance {
    @Sendable private func scalars() throws {
        try roundTrip(Scalars())
        for shift in 0..<64 {
            struct One: Codable, Equatable { var (a, b, c): (Int64, UInt64, Double) }
            let (low, high) = (Int64(1) << shift, UInt64(1) << shift)
            try roundTrip(One(a: low, b: high, c: Double(low)))
            try roundTrip(One(a: low &- 1, b: high &- 1, c: 1 / Double(low)))
            try roundTrip(One(a: ~low, b: high &+ 1, c: -Double(bitPattern: high)))
        }
    }

    @Sendable private func wrongTypes() throws {
        struct Texts: Codable { var field = "text" }
        struct Truths: Codable { var field = [true] }
        struct Wholes: Decodable { var field: Int }
        struct Lists: Decodable { var field: [Int] }
        struct Objects: Decodable { var field: [String: Int] }
        try refuse(Texts(), as: Wholes.self, naming: "field")
        try refuse(Truths(), as: Wholes.self)
        try refuse(Texts(), as: Lists.self)
        try refuse(Texts(), as: Objects.self, naming: "field")
        try refuse(Texts(), as: Truths.self)
    }

    @Sendable private func misfits() throws {
        struct Wide<T: Codable>: Codable { var field: T }
        struct Narrow<T: Decodable>: Decodable { var field: T }
        try refuse(Wide(field: 128), as: Narrow<Int8>.self, naming: "field")
        try refuse(Wide(field: -1), as: Narrow<UInt64>.self, naming: "field")
        try refuse(Wide(field: UInt64.max), as: Narrow<Int64>.self, naming: "field")
        try refuse(Wide(field: 1.5), as: Narrow<Int>.self, naming: "field")
        try refuse(Wide(field: 1e30), as: Narrow<Int>.self, naming: "field")
        try refuse(Wide(field: 1e300), as: Narrow<Float>.self, naming: "field")
        let exact = try codec.encode(Wide(field: 2.0))
        let whole = try codec.decode(Narrow<Int>.self, from: exact.span.bytes)
        try expect(2, whole.field, "a whole number that was written as a real one")
    }

    @Sendable private func missingFields() throws {
        struct Less: Codable { var a = 1 }
        struct More: Decodable { var (a, missing): (Int, String) }
        struct Optionals: Codable, Equatable { var (a, missing): (Int, String?) }
        try refuse(Less(), as: More.self, naming: "missing")
        let bytes = try codec.encode(Less())
        let optionals = try codec.decode(Optionals.self, from: bytes.span.bytes)
        try expect(Optionals(a: 1, missing: nil), optionals, "a field that may be missing")
    }

    @Sendable private func unknownFields() throws {
        struct More: Codable { var (z, a, b, list, y) = (1, 2, "x", [1, 2, 3], false) }
        struct Less: Codable, Equatable { var (b, a): (String, Int) }
        let bytes = try codec.encode(More())
        let less = try codec.decode(Less.self, from: bytes.span.bytes)
        try expect(Less(b: "x", a: 2), less, "what is left when fields are unknown")
    }

    @Sendable private func emptyMessages() throws {
        let none: [UInt8] = []
        _ = try codec.decode(Empty.self, from: none.span.bytes)
        let bytes = try codec.encode(Empty())
        _ = try codec.decode(Empty.self, from: bytes.span.bytes)
        let scalars = try codec.encode(Scalars())
        _ = try codec.decode(Empty.self, from: scalars.span.bytes)
    }

    @Sendable private func determinism() throws {
        let keys = (0..<50).map { "key\($0)" }
        let first = Dictionary(uniqueKeysWithValues: keys.map { ($0, 1) })
        var second: [String: Int] = [:]
        for key in keys.reversed() { second[key] = 1 }
        try expect(codec.encode(first), codec.encode(second), "the bytes of the same dictionary")
    }

    /// A decoder that is kept finds nothing any more, and so does an encoder.
    @Sendable private func keptDecoders() throws {
        final class Keeper: Codable {
            var decoder: (any Decoder)?
            var encoder: (any Encoder)?
            init() {}
            init(from decoder: any Decoder) throws {
                _ = try decoder.container(keyedBy: PathStep.self)
                self.decoder = decoder
            }
            func encode(to encoder: any Encoder) throws {
                var fields = encoder.container(keyedBy: PathStep.self)
                try fields.encode(1, forKey: PathStep("a"))
                self.encoder = encoder
            }
        }
        let written = Keeper()
        let bytes = try codec.encode(written)
        let kept = try codec.decode(Keeper.self, from: bytes.span.bytes)
        let decoded = try? kept.decoder?.container(keyedBy: PathStep.self)
            .decode(Int.self, forKey: PathStep("a"))
        try require(decoded == nil, "a decoder still works after decoding")
        var fields = written.encoder?.container(keyedBy: PathStep.self)
        try? fields?.encode(2, forKey: PathStep("b"))
        try expect(bytes, codec.encode(Keeper()), "what is written after a kept encoder was used")
    }

    @Sendable private func threads() throws {
        // Each thread has spare parts of its own; nested use on one thread must not share them.
        struct Nesting: Codable, Equatable {
            let codec: any Codec
            var inner: Scalars
            static func == (a: Nesting, b: Nesting) -> Bool { a.inner == b.inner }
            init(_ codec: any Codec) { (self.codec, inner) = (codec, Scalars()) }
            init(from decoder: any Decoder) throws {
                let fields = try decoder.container(keyedBy: PathStep.self)
                let bytes = try fields.decode([UInt8].self, forKey: PathStep("inner"))
                codec = NestingCodec.current
                inner = try codec.decode(Scalars.self, from: bytes.span.bytes)
            }
            func encode(to encoder: any Encoder) throws {
                var fields = encoder.container(keyedBy: PathStep.self)
                try fields.encode(codec.encode(inner), forKey: PathStep("inner"))
            }
        }
        try NestingCodec.$current.withValue(codec) { try roundTrip(Nesting(codec)) }
    }

    @Sendable private func truncation() throws {
        let bytes = try codec.encode(Scalars())
        for count in 0..<bytes.count {
            let part = Array(bytes[..<count])
            do {
                _ = try codec.decode(Scalars.self, from: part.span.bytes)
            } catch let error as MicroError {
                try expect(.invalidArgument, error.code, "the code for \(count) bytes")
                continue
            }
            throw Wrong("\(count) bytes of \(bytes.count) are taken for all")
        }
    }
}

private enum NestingCodec {
    @TaskLocal static var current: any Codec = JSONCodec()
}

private struct PathStep: CodingKey {
    var stringValue: String
    var intValue: Int?
    init(_ name: String) { stringValue = name }
    init(stringValue: String) { self.init(stringValue) }
    init(intValue: Int) {
        stringValue = String(intValue)
        self.intValue = intValue
    }
}

// MARK: - Values within values

private indirect enum Tree: Codable, Equatable {
    case leaf(Int)
    case pair(left: Tree, right: Tree)
    case list([Tree], name: String?)
    case nothing
}

private class Base: Codable {
    var base = "base"
    init() {}
}

private final class Derived: Base {
    var own = 5
    override init() { super.init() }
    private enum Key: CodingKey { case own }

    required init(from decoder: any Decoder) throws {
        own = try decoder.container(keyedBy: Key.self).decode(Int.self, forKey: .own)
        try super.init(from: decoder)
    }
    override func encode(to encoder: any Encoder) throws {
        try super.encode(to: encoder)
        var fields = encoder.container(keyedBy: Key.self)
        try fields.encode(own, forKey: .own)
    }
}

private final class Separate: Base {
    var own = 6
    override init() { super.init() }
    private enum Key: CodingKey { case own }

    required init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        own = try fields.decode(Int.self, forKey: .own)
        try super.init(from: fields.superDecoder())
    }
    override func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: Key.self)
        try super.encode(to: fields.superEncoder())
        try fields.encode(own, forKey: .own)
    }
}

/// Lists and objects that are opened by hand; filled one after the other, or in turns.
private struct Nested: Codable, Equatable {
    var inTurns: Bool
    private enum Key: CodingKey { case a, b, c, d, inTurns }

    init(inTurns: Bool) { self.inTurns = inTurns }

    func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: Key.self)
        var a = fields.nestedContainer(keyedBy: Key.self, forKey: .a)
        if !inTurns { try a.encode(1, forKey: .a) }
        var b = fields.nestedUnkeyedContainer(forKey: .b)
        if inTurns { try a.encode(1, forKey: .a) }
        try b.encode("x")
        var inner = b.nestedUnkeyedContainer()
        try inner.encode(2)
        if inTurns { try a.encode(2, forKey: .b) }
        try b.encodeNil()
        if !inTurns { _ = fields.nestedContainer(keyedBy: Key.self, forKey: .c) }
        try fields.encode(inTurns, forKey: .inTurns)
        if inTurns {
            try a.encodeNil(forKey: .c)
            try inner.encode(3)
            var object = inner.nestedContainer(keyedBy: Key.self)
            try object.encode(4, forKey: .d)
        }
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        inTurns = try fields.decode(Bool.self, forKey: .inTurns)
        let a = try fields.nestedContainer(keyedBy: Key.self, forKey: .a)
        try expect(1, a.decode(Int.self, forKey: .a), "a.a")
        var b = try fields.nestedUnkeyedContainer(forKey: .b)
        try expect(3, b.count, "the elements of b")
        try expect("x", b.decode(String.self), "b[0]")
        var inner = try b.nestedUnkeyedContainer()
        try expect(2, inner.decode(Int.self), "b[1][0]")
        try expect(true, b.decodeNil() && b.isAtEnd, "null at the end of b")
        guard inTurns else {
            let c = try fields.nestedContainer(keyedBy: Key.self, forKey: .c)
            try expect(0, c.allKeys.count, "the fields of c")
            return
        }
        try expect(2, a.decode(Int.self, forKey: .b), "a.b")
        try expect(true, a.decodeNil(forKey: .c), "a.c is null")
        try expect(3, inner.decode(Int.self), "b[1][1]")
        let object = try inner.nestedContainer(keyedBy: Key.self)
        try expect(4, object.decode(Int.self, forKey: .d), "b[1][2].d")
    }
}

extension CodecConformance {
    @Sendable private func trees() throws {
        try roundTrip(
            Tree.list(
                [.leaf(1), .nothing, .pair(left: .nothing, right: .list([], name: nil))],
                name: "x"))
        try roundTrip([Tree.nothing])
    }

    @Sendable private func containers() throws {
        try roundTrip([[1, 2], [], [3]])
        try roundTrip(["a": ["b": [1.5]], "c": [:]])
        try roundTrip([1: "one", 2: "two"])
        try roundTrip([[nil, 1], [2, nil]] as [[Int?]])
        try roundTrip(Set([1, 2, 3]))
        try roundTrip(Nested(inTurns: false))
        let bytes = try codec.encode(["a": Empty()])
        let object = try codec.decode([String: Empty].self, from: bytes.span.bytes)
        try expect(["a"], object.keys.sorted(), "the keys of an object of empty ones")
    }

    @Sendable private func orderOfAdditions() throws { try roundTrip(Nested(inTurns: true)) }

    @Sendable private func inheritance() throws {
        var bytes = try codec.encode(Derived())
        let derived = try codec.decode(Derived.self, from: bytes.span.bytes)
        try expect("base", derived.base, "the field of a base class")
        try expect(5, derived.own, "the field of a derived class")
        bytes = try codec.encode(Separate())
        let separate = try codec.decode(Separate.self, from: bytes.span.bytes)
        try expect("base", separate.base, "the field of a base class with an object of its own")
        try expect(6, separate.own, "the field beside it")
    }

    @Sendable private func paths() throws {
        struct Order: Codable { var lines = [Line(price: "1"), Line(price: "2")] }
        struct Line: Codable { var price: String }
        struct Wrong: Decodable { var orders: [WrongOrder] }
        struct WrongOrder: Decodable { var lines: [WrongLine] }
        struct WrongLine: Decodable { var price: Int }
        try refuse(
            ["orders": [Order()]], as: Wrong.self, naming: "orders[0].lines[0].price")
        try refuse(["a": ["b": [1, nil]]], as: [String: [String: [Int]]].self, naming: "a.b[1]")
        struct Missing: Decodable { var there: Int }
        try refuse([["there": 1], [:]], as: [Missing].self, naming: "[1].there")
    }

    /// Types that try one form after the other.
    @Sendable private func probing() throws {
        let value: JSONValue = .object([
            "a": .array([.integer(1), .string("x"), .null, .boolean(false), .number(1.5)]),
            "b": .object(["c": .unsigned(.max), "d": .array([]), "e": .object([:])]),
        ])
        try roundTrip(value)
    }

    @Sendable private func topLevel() throws {
        try roundTrip(5)
        try roundTrip("text")
        try roundTrip(true)
        try roundTrip(1.5)
        try roundTrip([1, 2, 3])
        try roundTrip(["a": 1])
        try roundTrip(Int?.some(3))
        try roundTrip(Scalars.Choice.first)
    }

    @Sendable private func dictionaries() throws {
        let keys = ["", "a", "\"", "é", "a.b", "0", String(repeating: "k", count: 300)]
        try roundTrip(Dictionary(uniqueKeysWithValues: keys.map { ($0, $0) }))
        try roundTrip(Dictionary(uniqueKeysWithValues: (0..<1000).map { ("\($0)", $0) }))
    }

    @Sendable private func depth() throws {
        func chain(_ depth: Int) -> Tree {
            (0..<depth).reduce(.nothing) { tree, _ in .list([tree], name: nil) }
        }
        try roundTrip(chain(15))
        do {
            _ = try codec.encode(chain(400))
        } catch is MicroError {
            return
        }
        throw Wrong("lists within each other are written 400 deep")
    }
}
