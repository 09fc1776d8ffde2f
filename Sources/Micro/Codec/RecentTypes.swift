/// What was found out lately about types: to ask the runtime takes longer than to read a small
/// message. For one thread.
final class RecentTypes<Answer> {
    private typealias Entry = (type: ObjectIdentifier, answer: Answer?)

    // Not an array: it would be checked for its owner, its bounds and other accesses each time.
    private let entries: UnsafeMutableBufferPointer<Entry?>

    init() {
        entries = .allocate(capacity: 16)
        entries.initialize(repeating: nil)
    }

    deinit {
        entries.deinitialize()
        entries.deallocate()
    }

    /// The answer for `type`, which `ask` gives when it is not known.
    @inline(__always)
    func find(_ type: Any.Type, _ ask: (Any.Type) -> Answer?) -> Answer? {
        let id = ObjectIdentifier(type)
        // Metadata is aligned to 8 bytes at least.
        let place = (UInt(bitPattern: id) >> 3 ^ UInt(bitPattern: id) >> 9) & 15
        if let entry = entries[Int(place)], entry.type == id { return entry.answer }
        let answer = ask(type)
        entries[Int(place)] = (id, answer)
        return answer
    }
}
