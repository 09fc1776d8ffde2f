/// The values of a configuration while sources are laid over it, and who gave each of them.
struct ConfigTree: Sendable {
    private(set) var values: JSONValue
    private let shape: ConfigShape
    private var origins: [String: String] = [:]

    init(defaults: JSONValue, shape: ConfigShape) {
        self.values = defaults
        self.shape = shape
    }

    /// Lays what a source has over what is there.
    mutating func apply(_ layer: ConfigLayer, from source: String) throws(MicroError) {
        switch layer.content {
        case .tree(let tree, let unknownKeys):
            try apply(tree, from: source, acceptsUnknown: unknownKeys == .ignore)
        case .texts(let texts):
            let places = Dictionary(grouping: shape.places(), by: \.name)
            for text in texts { try apply(text, places) }
        }
    }

    private mutating func apply(
        _ tree: JSONValue, from source: String, acceptsUnknown: Bool
    ) throws(MicroError) {
        let root = ConfigPath()
        do throws(ConfigFault) {
            guard case .object = tree else {
                throw .mismatch(root, expected: "an object", found: tree)
            }
            let accepted = try shape.accept(tree, at: root, acceptsUnknown: acceptsUnknown)
            values = overlay(values, accepted, at: root, from: source)
        } catch {
            throw error.error(from: source)
        }
    }

    private mutating func apply(
        _ text: ConfigLayer.Text,
        _ places: [String: [(name: String, path: ConfigPath, shape: ConfigShape)]]
    ) throws(MicroError) {
        guard let found = places[ConfigPath.normalized(text.key)], let place = found.first else {
            return
        }
        guard found.count == 1 else {
            let all = found.map(\.path.description).joined(separator: " and ")
            throw .invalid(
                "config", "\(text.origin) can mean \(all): rename one of them",
                at: place.path.description, reason: "AMBIGUOUS_KEY",
                metadata: ["source": text.origin])
        }
        do throws(ConfigFault) {
            let value = try place.shape.accept(
                try place.shape.parse(text.text, at: place.path), at: place.path,
                acceptsUnknown: false)
            let keys = place.path.description.split(separator: ".").map(String.init)
            let tree = keys.reversed().reduce(value) { .object([$1: $0]) }
            values = overlay(values, tree, at: ConfigPath(), from: text.origin)
        } catch {
            throw error.error(from: text.origin)
        }
    }

    private mutating func overlay(
        _ lower: JSONValue, _ upper: JSONValue, at path: ConfigPath, from source: String
    ) -> JSONValue {
        guard case .object(let new) = upper else {
            origins[path.description] = source
            return upper
        }
        var merged: [String: JSONValue] = [:]
        if case .object(let old) = lower { merged = old }
        for (key, value) in new {
            merged[key] = overlay(merged[key] ?? .null, value, at: path[key], from: source)
        }
        return .object(merged)
    }

    /// Who gave the value at a place, or the part of it that is nearest; nil: the defaults.
    func origin(of path: String) -> String? {
        var path = path[...]
        if let cut = path.lastIndex(of: ".") {
            // Something is missing beside what a source gave.
            let beside = origins.keys.filter { $0.hasPrefix(path[...cut]) }.min()
            if origins[String(path)] == nil, let beside { return origins[beside] }
        }
        while !path.isEmpty {
            if let origin = origins[String(path)] { return origin }
            guard let cut = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
            path = path[..<cut]
        }
        return nil
    }
}
