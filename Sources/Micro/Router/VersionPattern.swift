/// Which versions are meant: "1.2" is 1.2 and all that begin with it, such as 1.2.7; "=1.2" is that
/// one only.
///
/// A "v" in front of a number is of no account. Pre-releases belong to the shorter version, 1.3 has
/// 1.3.0-rc.1, but 1.3.0 does not; what stands behind a "+" does not count.
public struct VersionPattern: Sendable, Hashable, ExpressibleByStringLiteral,
    CustomStringConvertible
{
    /// As it was written.
    public let description: String

    /// - Parameter text: The pattern.
    public init(_ text: String) { description = text }

    /// The pattern.
    public init(stringLiteral text: String) { self.init(text) }

    /// Whether a version is one of those meant.
    public func matches(_ version: String) -> Bool {
        if description.utf8.first == UInt8(ascii: "=") {
            return version == description.dropFirst()
        }
        let (wanted, given) = (
            VersionPattern.number(description[...]), VersionPattern.number(version[...])
        )
        guard given.utf8.starts(with: wanted.utf8) else { return false }
        guard let next = given.utf8.dropFirst(wanted.utf8.count).first else { return true }
        return next == UInt8(ascii: ".") || next == UInt8(ascii: "+")
    }

    private static func number(_ version: Substring) -> Substring {
        let rest = version.dropFirst()
        guard version.utf8.first == UInt8(ascii: "v"), let digit = rest.utf8.first,
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit)
        else { return version }
        return rest
    }
}

extension VersionPattern: Codable {
    /// A string.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    /// A string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
