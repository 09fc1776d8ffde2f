internal import Micro

/// Writes the values of one document to a tree.
struct YAMLReader {
    private let events: YAMLEvents
    private let depthMax: Int
    private var depth = 0

    init(_ events: YAMLEvents, depthMax: Int) {
        self.events = events
        self.depthMax = depthMax
    }

    mutating func read(into writer: inout DirectWriter) throws {
        _ = try events.next()
        let start = try events.next()
        guard case .documentStart = start.kind else {
            throw start.mark.error("there is no document, only blanks and comments")
        }
        try read(events.next(), into: &writer)
        _ = try events.next()
        let end = try events.next()
        guard case .streamEnd = end.kind else {
            throw end.mark.error("a second document begins; a message is one")
        }
    }

    private mutating func read(_ event: YAMLEvent, into writer: inout DirectWriter) throws {
        try event.refuseSharing()
        switch event.kind {
        case .scalar(let scalar):
            try scalar.write(to: &writer, tag: event.tag, at: event.mark)
        case .listStart:
            try event.require(tag: "tag:yaml.org,2002:seq")
            try descend(event.mark)
            try writer.list { try readList(into: &$0) }
            depth -= 1
        case .objectStart:
            try event.require(tag: "tag:yaml.org,2002:map")
            try descend(event.mark)
            try writer.object { try readObject(into: &$0) }
            depth -= 1
        default:
            throw event.mark.error("a value is missing")
        }
    }

    private mutating func descend(_ mark: YAMLMark) throws {
        depth += 1
        guard depth <= depthMax else {
            throw mark.error("more than \(depthMax) lists and objects within each other")
        }
    }

    private mutating func readList(into elements: inout DirectWriter.Elements) throws {
        while true {
            let event = try events.next()
            if case .listEnd = event.kind { return }
            try elements.encode { try read(event, into: &$0) }
        }
    }

    private mutating func readObject(into fields: inout DirectWriter.Fields) throws {
        // By their bytes: as strings, "é" in one and in two characters are the same.
        var seen: Set<[UInt8]> = []
        while true {
            let event = try events.next()
            if case .objectEnd = event.kind { return }
            try event.refuseSharing()
            guard case .scalar(let key) = event.kind else {
                throw event.mark.error("a list or an object is no key")
            }
            try event.requireTagOfKey()
            guard seen.insert(Array(key.text.utf8)).inserted else {
                throw event.mark.error("the key \"\(key.text.prefix(100))\" comes twice")
            }
            let value = try events.next()
            try fields.encode(key.text) { try read(value, into: &$0) }
        }
    }
}

extension YAMLEvent {
    fileprivate func refuseSharing() throws {
        if case .alias = kind { throw mark.error("an alias; a message has none") }
        if hasAnchor { throw mark.error("an anchor; a message has none") }
    }

    /// "!" is any tag that fits.
    fileprivate func require(tag wanted: String) throws {
        if let tag, tag != wanted, tag != "!" { throw mark.unknown(tag) }
    }

    private static let scalars: Set = ["str", "int", "float", "bool", "null"]

    fileprivate func requireTagOfKey() throws {
        guard let tag, tag != "!" else { return }
        let isKnown = Self.scalars.contains { tag == "tag:yaml.org,2002:\($0)" }
        guard isKnown else { throw mark.unknown(tag) }
    }
}

extension YAMLMark {
    fileprivate func unknown(_ tag: String) -> MicroError {
        error("the tag \"\(tag.prefix(100))\" is not known here")
    }
}

extension YAMLScalar {
    fileprivate func write(
        to writer: inout DirectWriter, tag: String?, at mark: YAMLMark
    ) throws {
        guard let tag else {
            return try (isPlain ? CoreSchema(text) : .text).write(text, to: &writer, at: mark)
        }
        let schema = CoreSchema(text)
        switch (tag, schema) {
        case ("!", _), ("tag:yaml.org,2002:str", _):
            try writer.write(text)
        case ("tag:yaml.org,2002:binary", _):
            guard let bytes = [UInt8](base64: text) else { throw mark.error("this is no base64") }
            try writer.write(bytes)
        case ("tag:yaml.org,2002:null", .null), ("tag:yaml.org,2002:bool", .boolean),
            ("tag:yaml.org,2002:int", .integer), ("tag:yaml.org,2002:float", .integer),
            ("tag:yaml.org,2002:float", .real):
            try schema.write(text, to: &writer, at: mark)
        case ("tag:yaml.org,2002:null", _), ("tag:yaml.org,2002:bool", _),
            ("tag:yaml.org,2002:int", _), ("tag:yaml.org,2002:float", _):
            throw mark.error("\"\(text.prefix(100))\" does not fit its tag")
        default:
            throw mark.unknown(tag)
        }
    }
}

extension CoreSchema {
    fileprivate func write(
        _ text: String, to writer: inout DirectWriter, at mark: YAMLMark
    ) throws {
        switch self {
        case .text: try writer.write(text)
        case .null: try writer.writeNull()
        case .boolean(let value): try writer.write(value)
        case .real(.special(let value)): try writer.write(value)
        case .real(.decimal(let digits)): try writer.write(digits: digits)
        case .integer(.decimal(let digits)):
            if let value = Int64(digits), digits != "-0" {
                try writer.write(value)
            } else if let value = UInt64(digits) {
                try writer.write(value)
            } else {
                try writer.write(digits: digits)
            }
        case .integer(.power(let digits, let radix)):
            guard let value = UInt64(digits, radix: radix) else {
                throw mark.error("\"\(text.prefix(100))\" has more than 64 bits")
            }
            try writer.write(value)
        }
    }
}
