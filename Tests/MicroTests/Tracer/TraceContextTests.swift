import Testing

@testable import Micro

@Suite struct TraceContextTests {
    private static let traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
    private static let spanID = "00f067aa0ba902b7"
    private static let example = "00-\(traceID)-\(spanID)-01"

    @Test func readsTheExampleOfTheStandard() throws {
        let context = try #require(TraceContext(parent: Self.example, state: "congo=t61rcWkgMzE"))
        #expect(context.traceID == .init(high: 0x4bf9_2f35_77b3_4da6, low: 0xa3ce_929d_0e0e_4736))
        #expect(context.spanID == 0x00f0_67aa_0ba9_02b7)
        #expect(context.isSampled)
        #expect(context.parent == Self.example)
        #expect(context.state["congo"] == "t61rcWkgMzE")
    }

    @Test(arguments: [
        "", "00", "00-", example.uppercased(), example + "-", example + "-x", example + "0",
        String(example.dropLast()), " " + example, example + " ", example + "\n",
        "ff-\(traceID)-\(spanID)-01", "0g-\(traceID)-\(spanID)-01", "000-\(traceID)-\(spanID)-1",
        "00-00000000000000000000000000000000-\(spanID)-01", "00-\(traceID)-0000000000000000-01",
        "00-\(traceID)-\(spanID)-0", "00-\(traceID)-\(spanID)-0g", "00-\(traceID)-\(spanID)-+1",
        "00-\(traceID.dropLast())-\(spanID)-001", "00_\(traceID)-\(spanID)-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-\(spanID)-0", "01-\(traceID)-\(spanID)-01x",
        "01-\(traceID)-\(spanID)-01.x", "00--\(traceID.dropLast())-\(spanID)-01",
        "00-\(traceID)-\(spanID)-01-", "00-" + String(repeating: "-", count: 52),
        "00-4bf92f3577b34da6a3ce929d0e0e473-\(spanID)-011",
    ]) func refuses(parent: String) {
        #expect(TraceContext(parent: parent) == nil)
    }

    @Test(arguments: [
        "01-\(traceID)-\(spanID)-01", "cc-\(traceID)-\(spanID)-01-what-the-future-é brings",
        "fe-\(traceID)-\(spanID)-09-",
    ])
    func readsTheFrontOfLaterVersions(parent: String) throws {
        #expect(try #require(TraceContext(parent: parent)).parent == Self.example)
    }

    @Test func undefinedFlagsAreNotPassedOn() throws {
        let context = try #require(TraceContext(parent: "00-\(Self.traceID)-\(Self.spanID)-ff"))
        #expect(context.isSampled)
        #expect(context.parent.hasSuffix("-03"))
        #expect(TraceContext(parent: "00-\(Self.traceID)-\(Self.spanID)-fe")?.isSampled == false)
    }

    @Test func smallNumbersKeepTheirZeros() {
        let parent = "00-00000000000000000000000000000001-0000000000000002-00"
        #expect(TraceContext(parent: parent)?.parent == parent)
        let high = "00-00000000000000010000000000000000-8000000000000000-00"
        #expect(TraceContext(parent: high)?.parent == high)
    }

    @Test func newTracesAndChildrenAreValid() throws {
        var random = SeededRandom(seed: 7)
        for _ in 0..<1000 {
            let context = TraceContext(sampled: .random(using: &random), using: &random)
            #expect(TraceContext(parent: context.parent) == context)
            let child = context.child(using: &random)
            #expect(child.traceID == context.traceID && child.flags == context.flags)
            #expect(child.spanID != context.spanID && child.spanID != 0)
        }
    }

    @Test func travelsInMetadata() throws {
        var random = SeededRandom(seed: 7)
        var context = TraceContext(sampled: true, using: &random)
        context.state["a"] = "1"
        var metadata: Metadata = ["Traceparent": "old", "tracestate": "old=1", "x": "y"]
        context.inject(into: &metadata)
        try metadata.validate()
        #expect(metadata.count == 3)
        #expect(TraceContext(metadata) == context)
        context.state["a"] = nil
        context.inject(into: &metadata)
        #expect(metadata["tracestate"] == nil)
    }

    @Test func severalHeaders() {
        var metadata: Metadata = [
            "traceparent": Self.example, "tracestate": "a=1", "tracestate": "b=2",
        ]
        #expect(TraceContext(metadata)?.state.description == "a=1,b=2")
        metadata.append("traceparent", Self.example)
        #expect(TraceContext(metadata) == nil)
        #expect(TraceContext(Metadata()) == nil)
    }

    @Test func aBadStateDoesNotSpoilTheTrace() {
        #expect(TraceContext(parent: Self.example, state: "a=1,=")?.state.isEmpty == true)
    }

    @Test func carriersOfTheTracer() {
        var metadata: Metadata = ["baggage": "a=1", "baggage": "b=2"]
        #expect(MetadataExtractor().extract(key: "Baggage", from: metadata) == "a=1,b=2")
        #expect(MetadataExtractor().extract(key: "absent", from: metadata) == nil)
        MetadataInjector().inject("c=3", forKey: "Baggage", into: &metadata)
        #expect(metadata == ["baggage": "c=3"])
    }
}

@Suite struct TraceStateTests {
    @Test(arguments: [
        ("a=1", "a=1"), ("a=1,b=2", "a=1,b=2"), (" a=1 ,\tb=2\t, ,", "a=1,b=2"), ("", ""),
        (",", ""),
        ("fw529a3039@dt=FfAJ_VQ;x:y", "fw529a3039@dt=FfAJ_VQ;x:y"), ("a*b/c-_=!~", "a*b/c-_=!~"),
        ("a= 1", "a= 1"), ("1a=x", "1a=x"),
    ]) func parses(text: String, formatted: String) throws {
        #expect(try #require(TraceState(text)).description == formatted)
    }

    @Test(arguments: [
        "a", "=1", "a=", "A=1", "a=b=c", "a b=1", "a=é", "é=1", "a=1,a=2", "a=1\u{7F}", "a=1\n,b=2",
        "@a=1", "a =1",
        String(repeating: "k", count: 257) + "=1", "a=" + String(repeating: "v", count: 257),
        (0..<33).map { "k\($0)=1" }.joined(separator: ","),
    ]) func refuses(text: String) {
        #expect(TraceState(text) == nil)
    }

    @Test func changedMembersMoveToTheFront() throws {
        var state = try #require(TraceState("a=1,b=2"))
        state["b"] = "3"
        #expect(state.description == "b=3,a=1")
        state["BAD"] = "x"
        state["c"] = "x,y"
        #expect(state.description == "b=3,a=1")
        state["b"] = nil
        #expect(state.description == "a=1")
        for index in 0..<40 { state["k\(index)"] = "v" }
        #expect(state.members.count == 32)
        #expect(state.members.first?.key == "k39")
    }

    @Test func isCutToWholeMembers() throws {
        let long = "long=" + String(repeating: "v", count: 200)
        let short = (0..<25).map { "k\($0)=" + String(repeating: "v", count: 20) }
        let state = try #require(TraceState(([long] + short).joined(separator: ",")))
        #expect(state.description.utf8.count <= 512)
        #expect(!state.description.contains("long"), "the long ones go first")
        #expect(state.description == short.prefix(20).joined(separator: ","))
    }
}
