// libyaml, as Yams brings it. Its events, and not the trees that Yams makes of them: a tree has
// aliases in it already, and is as large as they make it before anybody can look at it.
internal import CYaml
internal import Micro

/// A place in a text; both count from 1.
struct YAMLMark {
    var line: Int
    var column: Int

    func error(_ what: String) -> MicroError {
        .invalid("", "not valid YAML at line \(line), column \(column): \(what)")
    }
}

/// What a text of YAML consists of.
struct YAMLEvent {
    enum Kind {
        case streamStart, streamEnd
        case documentStart, documentEnd
        case alias
        case scalar(YAMLScalar)
        case listStart, listEnd
        case objectStart, objectEnd
    }

    var kind: Kind
    var mark: YAMLMark
    var tag: String?
    var hasAnchor = false
}

struct YAMLScalar {
    var text: String
    /// Neither in quotes nor a block.
    var isPlain: Bool
}

/// The events of bytes, one by one. For as long as these are lent.
final class YAMLEvents {
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)

    init(_ bytes: UnsafeRawBufferPointer) throws {
        parser.initialize(to: yaml_parser_t())
        guard yaml_parser_initialize(parser) == 1 else {
            throw MicroError("", .resourceExhausted, "no memory")
        }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(
            parser, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    /// The next one; none may be asked for behind the end of the stream.
    func next() throws -> YAMLEvent {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw failure }
        defer { yaml_event_delete(&event) }
        return YAMLEvent(event)
    }

    private var failure: MicroError {
        let what = parser.pointee.problem.map { String(cString: $0) } ?? "it can't be read"
        switch parser.pointee.error {
        case YAML_MEMORY_ERROR: return MicroError("", .resourceExhausted, "no memory")
        case YAML_READER_ERROR:
            return .invalid("", "not valid YAML at byte \(parser.pointee.problem_offset): \(what)")
        default: return YAMLMark(parser.pointee.problem_mark).error(what)
        }
    }
}

extension YAMLMark {
    fileprivate init(_ mark: yaml_mark_t) {
        self.init(line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    }
}

extension YAMLEvent {
    fileprivate init(_ event: yaml_event_t) {
        let mark = YAMLMark(event.start_mark)
        switch event.type {
        case YAML_STREAM_START_EVENT: self.init(kind: .streamStart, mark: mark)
        case YAML_DOCUMENT_START_EVENT: self.init(kind: .documentStart, mark: mark)
        case YAML_DOCUMENT_END_EVENT: self.init(kind: .documentEnd, mark: mark)
        case YAML_ALIAS_EVENT: self.init(kind: .alias, mark: mark)
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            let text = YAMLScalar(
                text: String(decoding: bytes, as: UTF8.self),
                isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
            self.init(
                kind: .scalar(text), mark: mark, tag: String(yaml: scalar.tag),
                hasAnchor: scalar.anchor != nil)
        case YAML_SEQUENCE_START_EVENT:
            let list = event.data.sequence_start
            self.init(
                kind: .listStart, mark: mark, tag: String(yaml: list.tag),
                hasAnchor: list.anchor != nil)
        case YAML_SEQUENCE_END_EVENT: self.init(kind: .listEnd, mark: mark)
        case YAML_MAPPING_START_EVENT:
            let object = event.data.mapping_start
            self.init(
                kind: .objectStart, mark: mark, tag: String(yaml: object.tag),
                hasAnchor: object.anchor != nil)
        case YAML_MAPPING_END_EVENT: self.init(kind: .objectEnd, mark: mark)
        default: self.init(kind: .streamEnd, mark: mark)
        }
    }
}

extension String {
    /// nil: there is none.
    fileprivate init?(yaml text: UnsafeMutablePointer<yaml_char_t>?) {
        guard let text else { return nil }
        self.init(cString: text)
    }
}
