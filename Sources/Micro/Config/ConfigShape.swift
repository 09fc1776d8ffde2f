/// What a configuration looks like: which keys there are, and what their values are. It is found by
/// decoding the defaults with a decoder that takes notes.
indirect enum ConfigShape: Sendable, Equatable {
    enum Scalar: Sendable, Equatable {
        case boolean
        /// - Parameters: The least and the greatest; the least of a type without a sign is 0.
        case integer(least: Int64, greatest: UInt64)
        case number
        case text
        case duration

        /// When the type isn't known.
        static let anyInteger = Scalar.integer(least: .min, greatest: .max)

        /// For people.
        var name: String {
            switch self {
            case .boolean: "true or false"
            case .integer(.min, _): "a whole number"
            case .integer(let least, let greatest): "a whole number from \(least) to \(greatest)"
            case .number: "a number"
            case .text: "a string"
            case .duration: "a duration such as \"1.5s\" or \"250ms\""
            }
        }
    }

    /// - Parameter isStrict: Whether the type takes nothing else. A type with a coding of its own
    ///   may.
    case scalar(Scalar, isStrict: Bool)
    case array(ConfigShape)
    /// Keys of the user's own, all with values of one shape.
    case map(ConfigShape)
    /// - Parameter isComplete: Whether all keys are known.
    case object([String: ConfigShape], isComplete: Bool)
    /// Not known: anything may fit.
    case open

    /// The shape of a type with these defaults.
    init<Value: Decodable>(of type: Value.Type, defaults: JSONValue) {
        self = ConfigProbe.shape(of: type, node: defaults, depth: 0)
    }

    /// A value on its way into the configuration, as the type takes it.
    ///
    /// - Parameters:
    ///   - value: From a source.
    ///   - path: Where it goes.
    ///   - acceptsUnknown: Whether keys that the type doesn't have are left out, instead of
    ///     refused.
    func accept(
        _ value: JSONValue, at path: ConfigPath, acceptsUnknown: Bool
    ) throws(ConfigFault) -> JSONValue {
        // Whether there may be nothing is known to the type alone.
        if value == .null { return value }
        switch (self, value) {
        case (.scalar(let scalar, let isStrict), _):
            return try ConfigShape.accept(value, as: scalar, isStrict: isStrict, at: path)
        case (.array(let element), .array(let values)):
            var accepted: [JSONValue] = []
            for (index, value) in values.enumerated() {
                accepted.append(
                    try element.accept(value, at: path[index], acceptsUnknown: acceptsUnknown))
            }
            return .array(accepted)
        case (.map(let shape), .object(let values)):
            var accepted: [String: JSONValue] = [:]
            for (key, value) in values.sorted(by: { $0.key < $1.key }) {
                accepted[key] = try shape.accept(
                    value, at: path[key], acceptsUnknown: acceptsUnknown)
            }
            return .object(accepted)
        case (.object(let shapes, let isComplete), .object(let values)):
            var accepted: [String: JSONValue] = [:]
            for (key, value) in values.sorted(by: { $0.key < $1.key }) {
                if let shape = shapes[key] {
                    accepted[key] = try shape.accept(
                        value, at: path[key], acceptsUnknown: acceptsUnknown)
                } else if !isComplete {
                    accepted[key] = value
                } else if !acceptsUnknown {
                    throw .unknownKey(path[key], nearest: nearest(to: key, in: shapes, at: path))
                }
            }
            return .object(accepted)
        case (.array, _): throw .mismatch(path, expected: "a list", found: value)
        case (.map, _), (.object, _): throw .mismatch(path, expected: "an object", found: value)
        case (.open, _): return value
        }
    }

    private static func accept(
        _ value: JSONValue, as scalar: Scalar, isStrict: Bool, at path: ConfigPath
    ) throws(ConfigFault) -> JSONValue {
        switch (scalar, value) {
        case (.boolean, .boolean), (.number, .integer), (.number, .unsigned), (.number, .number),
            (.text, .string):
            return value
        case (.integer(let least, let greatest), .integer(let number))
        where number >= least && (number < 0 || UInt64(number) <= greatest):
            return value
        case (.integer(_, let greatest), .unsigned(let number)) where number <= greatest:
            return value
        case (.duration, .string(let text)):
            guard let duration = Duration(text: text), let tree = try? JSONValue(encoding: duration)
            else { throw .mismatch(path, expected: scalar.name, found: value) }
            return tree
        // The form in which `Duration` codes itself.
        case (.duration, .array): return value
        default:
            if !isStrict { return value }
            throw .mismatch(path, expected: scalar.name, found: value)
        }
    }

    private func nearest(
        to key: String, in shapes: [String: ConfigShape], at path: ConfigPath
    ) -> ConfigPath? {
        let candidates = shapes.keys.sorted().map {
            ($0, editDistance($0.lowercased(), key.lowercased()))
        }
        guard let best = candidates.min(by: { $0.1 < $1.1 }), best.1 <= max(2, key.count / 3) else {
            return nil
        }
        return path[best.0]
    }

    /// The places that a text can go to, by their name without separators in upper case.
    func places(at path: ConfigPath = ConfigPath()) -> [(
        name: String, path: ConfigPath, shape: ConfigShape
    )] {
        guard case .object(let shapes, _) = self else {
            return path.isRoot ? [] : [(ConfigPath.normalized(path.description), path, self)]
        }
        return shapes.sorted { $0.key < $1.key }.flatMap { key, shape in shape.places(at: path[key])
        }
    }

    /// A text, as the type takes it.
    func parse(_ text: String, at path: ConfigPath) throws(ConfigFault) -> JSONValue {
        switch self {
        case .scalar(let scalar, _):
            guard let value = ConfigShape.parse(text, as: scalar) else {
                throw .mismatch(path, expected: scalar.name, found: .string(text))
            }
            return value
        case .array(.scalar(let scalar, let isStrict)) where !text.hasPrefix("["):
            if text.isEmpty { return .array([]) }
            var values: [JSONValue] = []
            for (index, part) in text.split(separator: ",", omittingEmptySubsequences: false)
                .enumerated()
            {
                let element = ConfigShape.scalar(scalar, isStrict: isStrict)
                values.append(try element.parse(part.trimmed, at: path[index]))
            }
            return .array(values)
        case .array, .map, .object, .open:
            if let value = try? JSONValue(json: Array(text.utf8)) { return value }
            if case .open = self { return .string(text) }
            throw .mismatch(path, expected: "JSON", found: .string(text))
        }
    }

    private static func parse(_ text: String, as scalar: Scalar) -> JSONValue? {
        switch scalar {
        case .text: return .string(text)
        case .integer: return Int64(text).map { .integer($0) } ?? UInt64(text).map { .unsigned($0) }
        case .number:
            guard let number = Double(text), number.isFinite else { return nil }
            return .number(number)
        case .duration: return Duration(text: text).flatMap { try? JSONValue(encoding: $0) }
        case .boolean:
            switch text.lowercased() {
            case "true", "yes", "on", "1": return .boolean(true)
            case "false", "no", "off", "0": return .boolean(false)
            default: return nil
            }
        }
    }
}

extension Substring {
    fileprivate var trimmed: String {
        var text = self
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}

/// How many letters have to be added, removed or changed to make one of the other.
private func editDistance(_ lhs: String, _ rhs: String) -> Int {
    let right = Array(rhs)
    var row = Array(0...right.count)
    for (index, letter) in lhs.enumerated() {
        var diagonal = row[0]
        row[0] = index + 1
        for (column, other) in right.enumerated() {
            let changed = diagonal + (letter == other ? 0 : 1)
            diagonal = row[column + 1]
            row[column + 1] = min(changed, row[column] + 1, diagonal + 1)
        }
    }
    return row[right.count]
}
