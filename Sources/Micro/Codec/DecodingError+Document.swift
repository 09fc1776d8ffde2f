internal import CMicroCore

/// A step of a path: a name, or the index of an element.
enum PathKey: CodingKey {
    case name(String)
    case index(Int)

    init(stringValue: String) { self = .name(stringValue) }
    init(intValue: Int) { self = .index(intValue) }

    var stringValue: String {
        switch self {
        case .name(let name): name
        case .index(let index): "Index \(index)"
        }
    }

    var intValue: Int? {
        guard case .index(let index) = self else { return nil }
        return index
    }
}

/// Where a value stands, in place of a path: a path takes as long to find as there are values in
/// front, and most errors that a decoder throws are caught by a type that tries something else.
private struct UnsettledPath: CodingKey, @unchecked Sendable {  // outside its decoding it is empty
    let document: ReadDocument
    let at: ValuePlace

    init(_ document: ReadDocument, _ at: ValuePlace) {
        self.document = document
        self.at = at
    }

    init?(stringValue: String) { nil }
    init?(intValue: Int) { nil }

    var path: [any CodingKey] { document.path(to: at) }
    var stringValue: String {
        path.reduce(into: "") { text, key in
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += text.isEmpty ? key.stringValue : ".\(key.stringValue)"
            }
        }
    }
    var intValue: Int? { nil }
}

extension ReadDocument {
    /// The keys and indexes that lead to a value.
    func path(to target: ValuePlace) -> [any CodingKey] {
        guard let values else { return [] }
        var path: [any CodingKey] = []
        var container: ValuePlace = 0
        while container != target {
            let isMap = values[Int(container)].isMap
            guard isMap || values[Int(container)].isArray else { return path }
            var index = 0
            var at = container + 1
            while mcore_value_next(values, isMap ? at + 1 : at) <= target {
                at = mcore_value_next(values, isMap ? at + 1 : at)
                index += 1
            }
            path.append(isMap ? PathKey.name(values[Int(at)].name) : PathKey.index(index))
            // A key stands for its value.
            if isMap && at == target { return path }
            container = isMap ? at + 1 : at
        }
        return path
    }

    func mismatch(_ type: Any.Type, _ at: ValuePlace) -> DecodingError {
        guard let value = values?[Int(at)] else { return closed }
        if value.isNull { return .valueNotFound(type, context(at, "null")) }
        return .typeMismatch(type, context(at, "found \(value.kindForPeople)"))
    }

    func misfit(_ type: Any.Type, _ at: ValuePlace) -> DecodingError {
        .dataCorrupted(context(at, "the number does not fit \(type)"))
    }

    func missing(_ key: some CodingKey, _ map: ValuePlace) -> DecodingError {
        if values == nil { return closed }
        return .keyNotFound(key, context(map, "the object has no such field"))
    }

    func missingElement(_ type: Any.Type, _ index: Int, _ array: ValuePlace) -> DecodingError {
        if values == nil { return closed }
        return .valueNotFound(type, context(array, "the list has only \(index) elements"))
    }

    func context(_ at: ValuePlace, _ text: String) -> DecodingError.Context {
        DecodingError.Context(codingPath: [UnsettledPath(self, at)], debugDescription: text)
    }

    private var closed: DecodingError {
        .dataCorrupted(
            DecodingError.Context(
                codingPath: [],
                debugDescription: "a decoder was used after its message had been decoded"))
    }

    /// Where the values are.
    ///
    /// - Throws: `DecodingError` when the document is closed.
    var open: UnsafeMutablePointer<mcore_value> {
        @inline(__always) get throws {
            guard let values else { throw closed }
            return values
        }
    }
}

extension DecodingError {
    /// The same with its path in full.
    var settled: DecodingError {
        switch self {
        case .typeMismatch(let type, let context): .typeMismatch(type, context.settled)
        case .valueNotFound(let type, let context): .valueNotFound(type, context.settled)
        case .keyNotFound(let key, let context): .keyNotFound(key, context.settled)
        case .dataCorrupted(let context): .dataCorrupted(context.settled)
        @unknown default: self
        }
    }
}

extension DecodingError.Context {
    fileprivate var settled: DecodingError.Context {
        DecodingError.Context(
            codingPath: codingPath.flatMap { ($0 as? UnsettledPath)?.path ?? [$0] },
            debugDescription: debugDescription, underlyingError: underlyingError)
    }
}
