import Micro
import Testing

@Suite struct TopicPatternTests {
    @Test(arguments: [
        ("orders.created", "orders.created", true),
        ("orders.created", "orders.create", false),
        ("orders.created", "orders.created.eu", false),
        ("orders.created.eu", "orders.created", false),
        ("orders.*", "orders.created", true),
        ("orders.*", "orders", false),
        ("orders.*", "orders.created.eu", false),
        ("orders.>", "orders.created", true),
        ("orders.>", "orders.created.eu", true),
        ("orders.>", "orders", false),
        ("*.created", "orders.created", true),
        ("*.*", "orders.created", true),
        ("*.*", "orders", false),
        ("*.>", "orders.created", true),
        ("*.>", "orders", false),
        (">", "orders", true),
        (">", "orders.created.eu", true),
        ("*", "orders", true),
        (">", "$dead.orders", false),
        ("*.orders", "$dead.orders", false),
        ("*", "$dead", false),
        ("$dead.>", "$dead.orders", true),
        ("$dead.orders", "$dead.orders", true),
        ("a.*", "a.$b", true),
        ("caf\u{e9}", "cafe\u{301}", false),
    ])
    func matches(pattern: String, topic: String, expected: Bool) throws {
        #expect(try TopicPattern(pattern).matches(topic) == expected)
    }

    @Test(arguments: [
        "", ".", "a.", ".a", "a..b", "a.>.b", "a*", "*a.b", "a.b>", ">>", "**", "a b", "a.\tb",
        "a\u{0}", "a\u{a0}b", String(repeating: "a", count: 300),
    ])
    func refusesPattern(_ text: String) {
        let error = #expect(throws: MicroError.self) { try TopicPattern(text) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.metadata["field"] == "pattern")
    }

    @Test(arguments: ["*", ">", "a.*", "a.>", "$dead.a", "$x", "a.b*", "", "a..b"])
    func refusesTopic(_ text: String) {
        let error = #expect(throws: MicroError.self) { try TopicPattern.validate(topic: text) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.metadata["field"] == "topic")
    }

    @Test func theLongestTopicHasDeadLetters() throws {
        let topic = String(repeating: "t", count: TopicPattern.topicLengthLimit)
        try TopicPattern.validate(topic: topic)
        #expect(throws: MicroError.self) { try TopicPattern.validate(topic: topic + "t") }
        let dead = DeadLetter.topic(for: topic)
        #expect(try TopicPattern(dead).matches(dead))
    }

    @Test func isItsText() throws {
        #expect(try TopicPattern("orders.>").description == "orders.>")
        #expect(try TopicPattern("a.*") == TopicPattern("a.*"))
        #expect(try TopicPattern("a.*") != TopicPattern("a.>"))
    }
}
