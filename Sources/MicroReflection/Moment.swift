internal import Micro

/// `google.protobuf.Timestamp` or `google.protobuf.Duration`, which have the same fields.
struct Moment: Hashable {
    var seconds: Int64 = 0
    var nanoseconds: Int32 = 0

    /// From year 1 to 9999.
    private static let timestamps: ClosedRange<Int64> = -62_135_596_800...253_402_300_799
    /// About 10,000 years.
    private static let durations: ClosedRange<Int64> = -315_576_000_000...315_576_000_000

    init(_ reader: ProtobufReader) throws(ProtobufError) {
        var reader = reader
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .varint(let bits)): seconds = Int64(bitPattern: bits)
            case (2, .varint(let bits)): nanoseconds = Int32(truncatingIfNeeded: bits)
            default: break
            }
        }
    }

    func write(to writer: inout ProtobufWriter) {
        if seconds != 0 { writer.varint(1, UInt64(bitPattern: seconds)) }
        if nanoseconds != 0 { writer.varint(2, UInt64(bitPattern: Int64(nanoseconds))) }
    }

    // MARK: Duration

    /// "1.5s"; at most nine digits behind the point.
    init?(duration text: String) {
        guard text.hasSuffix("s") else { return nil }
        var digits = Digits(text.dropLast())
        let isNegative = digits.skip("-")
        guard let seconds = digits.number(1...12), let fraction = digits.fraction(),
            digits.isAtEnd, Self.durations.contains(seconds)
        else {
            return nil
        }
        self.seconds = isNegative ? -seconds : seconds
        nanoseconds = isNegative ? -fraction : fraction
    }

    func duration(_ path: JSONPath) throws(MicroError) -> String {
        guard Self.durations.contains(seconds), nanoseconds.magnitude < 1_000_000_000,
            seconds.signum() * Int64(nanoseconds.signum()) >= 0
        else {
            throw path.error("a duration of \(seconds) s and \(nanoseconds) ns is none")
        }
        let sign = seconds < 0 || nanoseconds < 0 ? "-" : ""
        return "\(sign)\(seconds.magnitude)\(fraction)s"
    }

    // MARK: Timestamp

    /// RFC 3339: "2026-01-31T12:00:00.5Z", also with an offset.
    init?(timestamp text: String) {
        var digits = Digits(text[...])
        guard let year = digits.number(4...4), digits.skip("-"),
            let month = digits.number(2...2), digits.skip("-"),
            let day = digits.number(2...2), digits.skip("T") || digits.skip("t"),
            let hour = digits.number(2...2), digits.skip(":"),
            let minute = digits.number(2...2), digits.skip(":"),
            let second = digits.number(2...2), let fraction = digits.fraction(),
            let offset = digits.offset(), digits.isAtEnd,
            (1...12).contains(month), (1...Self.days(in: month, of: year)).contains(day),
            hour < 24, minute < 60, second < 60
        else {
            return nil
        }
        let clock = hour * 3600 + minute * 60 + second
        seconds = Self.dayNumber(year, month, day) * 86_400 + clock - offset
        nanoseconds = fraction
        guard Self.timestamps.contains(seconds) else { return nil }
    }

    func timestamp(_ path: JSONPath) throws(MicroError) -> String {
        guard Self.timestamps.contains(seconds), (0..<1_000_000_000).contains(nanoseconds) else {
            throw path.error("a time of \(seconds) s and \(nanoseconds) ns is none")
        }
        var day = seconds / 86_400
        var clock = seconds % 86_400
        if clock < 0 { (day, clock) = (day - 1, clock + 86_400) }
        let (year, month, date) = Self.calendarDay(day)
        let parts = [
            year.padded(4), "-", month.padded(2), "-", date.padded(2), "T",
            (clock / 3600).padded(2), ":", (clock / 60 % 60).padded(2), ":",
            (clock % 60).padded(2), fraction, "Z",
        ]
        return parts.joined()
    }

    /// Nothing, or a point and 3, 6 or 9 digits.
    private var fraction: String {
        let digits = Int64(nanoseconds.magnitude).padded(9)
        if nanoseconds == 0 { return "" }
        if digits.hasSuffix("000000") { return "." + digits.dropLast(6) }
        if digits.hasSuffix("000") { return "." + digits.dropLast(3) }
        return "." + digits
    }

    // MARK: The calendar. Years begin in March here, so that the day that may be missing is last.

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        switch month {
        case 2: return isLeap ? 29 : 28
        case 4, 6, 9, 11: return 30
        default: return 31
        }
    }

    /// Days since 1970-01-01.
    private static func dayNumber(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func calendarDay(
        _ number: Int64
    ) -> (year: Int64, month: Int64, day: Int64) {
        let number = number + 719_468
        let era = (number >= 0 ? number : number - 146_096) / 146_097
        let dayOfEra = number - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

/// Reads digits and what is between them.
private struct Digits {
    private var rest: Substring

    init(_ text: Substring) { rest = text }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func skip(_ character: Character) -> Bool {
        guard rest.first == character else { return false }
        rest.removeFirst()
        return true
    }

    mutating func number(_ count: ClosedRange<Int>) -> Int64? {
        let digits = rest.prefix(count.upperBound).prefix { $0.isASCII && $0.isNumber }
        guard digits.count >= count.lowerBound else { return nil }
        rest = rest.dropFirst(digits.count)
        return Int64(digits)
    }

    /// Nanoseconds; 0 when there is no point.
    mutating func fraction() -> Int32? {
        guard skip(".") else { return 0 }
        let before = rest.count
        guard let number = number(1...9) else { return nil }
        var nanoseconds = number
        for _ in (before - rest.count)..<9 { nanoseconds *= 10 }
        return Int32(nanoseconds)
    }

    /// Seconds to the east of Greenwich.
    mutating func offset() -> Int64? {
        if skip("Z") || skip("z") { return 0 }
        let isWest = skip("-")
        guard isWest || skip("+"), let hours = number(2...2), skip(":"),
            let minutes = number(2...2), hours < 24, minutes < 60
        else {
            return nil
        }
        return (hours * 3600 + minutes * 60) * (isWest ? -1 : 1)
    }
}

extension Int64 {
    fileprivate func padded(_ width: Int) -> String {
        let digits = String(self)
        return String(repeating: "0", count: Swift.max(0, width - digits.count)) + digits
    }
}
