extension Duration {
    /// Reads "250ms", "1.5s", "1h30m" or "0": numbers with the units d, h, m, s, ms, us and ns.
    ///
    /// - Returns: nil when it's anything else, or longer than a thousand years.
    package init?(text: String) {
        if text == "0" {
            self = .zero
            return
        }
        var rest = text[...]
        var isNegative = false
        if rest.first == "-" {
            isNegative = true
            rest = rest.dropFirst()
        }
        var seconds = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { ("0"..."9").contains($0) || $0 == "." }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { !("0"..."9").contains($0) && $0 != "." }
            rest = rest.dropFirst(unit.count)
            guard let number = Double(digits), let factor = Duration.factor(of: unit) else {
                return nil
            }
            seconds += number * factor
        }
        guard seconds <= 1_000 * 365 * 86_400 else { return nil }
        self = .seconds(isNegative ? -seconds : seconds)
    }

    private static func factor(of unit: Substring) -> Double? {
        switch unit {
        case "d": 86_400
        case "h": 3_600
        case "m": 60
        case "s": 1
        case "ms": 1e-3
        case "us", "µs": 1e-6
        case "ns": 1e-9
        default: nil
        }
    }
}
