/// Which topics a subscriber wants: `orders.created`, `orders.*` or `orders.>`.
///
/// A topic is tokens separated by dots. `*` stands for exactly one token; `>`, only at the end, for
/// one token or more. A wildcard in the first place doesn't match topics that begin with `$`: those
/// are Micro's own, such as the dead letters of `orders` in `$dead.orders`, and have to be asked
/// for by name.
public struct TopicPattern: Sendable, Hashable, CustomStringConvertible {
    /// The longest topic, in bytes of UTF-8.
    public static let topicLengthLimit = 255

    /// The pattern as it was written.
    public let description: String

    private enum Token: Sendable, Hashable {
        case exactly(Substring)
        case any
        case rest
    }

    private let tokens: [Token]

    /// Reads a pattern.
    ///
    /// - Throws: ``MicroError``, `invalidArgument`, naming the token that is wrong.
    public init(_ pattern: String) throws(MicroError) {
        // Room for "$dead." before the longest topic.
        let parts = try TopicPattern.split(
            pattern, what: "pattern", limit: TopicPattern.topicLengthLimit + 8)
        var tokens: [Token] = []
        for (index, part) in parts.enumerated() {
            if part == "*" {
                tokens.append(.any)
            } else if part == ">" {
                guard index == parts.count - 1 else {
                    throw .invalid(
                        "broker.pattern", "in pattern \"\(pattern)\", > must be the last token",
                        at: "pattern")
                }
                tokens.append(.rest)
            } else if part.contains("*") || part.contains(">") {
                throw .invalid(
                    "broker.pattern",
                    "in pattern \"\(pattern)\", \"\(part)\" mixes a wildcard with text: * and > are "
                        + "whole tokens",
                    at: "pattern")
            } else {
                tokens.append(.exactly(part))
            }
        }
        self.description = pattern
        self.tokens = tokens
    }

    /// Whether `topic` is one of those asked for. The topic is taken to be valid.
    public func matches(_ topic: String) -> Bool {
        if topic.utf8.first == UInt8(ascii: "$"), let first = tokens.first {
            guard case .exactly = first else { return false }
        }
        let parts = topic.split(separator: ".", omittingEmptySubsequences: false)
        for (index, token) in tokens.enumerated() {
            guard index < parts.count else { return false }
            switch token {
            case .rest: return true
            case .any: continue
            case .exactly(let text):
                guard text.utf8.elementsEqual(parts[index].utf8) else { return false }
            }
        }
        return parts.count == tokens.count
    }

    /// Checks that messages may be published to `topic`: tokens without wildcards, at most
    /// ``topicLengthLimit`` bytes, not beginning with `$`.
    ///
    /// - Throws: ``MicroError``, `invalidArgument`, saying what is wrong.
    public static func validate(topic: String) throws(MicroError) {
        let parts = try split(topic, what: "topic", limit: topicLengthLimit)
        if let wrong = parts.first(where: { $0.contains("*") || $0.contains(">") }) {
            throw .invalid(
                "broker.topic",
                "topic \"\(topic)\" has a wildcard in \"\(wrong)\": a message is published to one topic",
                at: "topic")
        }
        guard !topic.hasPrefix("$") else {
            throw .invalid(
                "broker.topic",
                "topic \"\(topic)\" begins with $, which is kept for the broker itself",
                at: "topic")
        }
    }

    private static func split(
        _ text: String, what: String, limit: Int
    ) throws(MicroError) -> [Substring] {
        guard !text.isEmpty else {
            throw .invalid("broker.\(what)", "the \(what) is empty", at: what)
        }
        guard text.utf8.count <= limit else {
            throw .invalid(
                "broker.\(what)",
                "the \(what) has \(text.utf8.count) bytes, and \(limit) is the limit",
                at: what)
        }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        for part in parts {
            guard !part.isEmpty else {
                throw .invalid("broker.\(what)", "\(what) \"\(text)\" has an empty token", at: what)
            }
            let isClean = part.unicodeScalars.allSatisfy { scalar in
                !scalar.properties.isWhitespace
                    && scalar.properties.generalCategory != .control
            }
            guard isClean else {
                throw .invalid(
                    "broker.\(what)", "\(what) \"\(text)\" has white space or a control character",
                    at: what)
            }
        }
        return parts
    }
}
