/// What was found out lately about types: to ask the runtime takes longer than to read a small
/// message. For one thread.
final class RecentTypes<Answer> {
    private typealias Entry = (type: ObjectIdentifier, answer: Answer)

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
    func find(_ type: Any.Type, _ ask: (Any.Type) -> Answer) -> Answer {
        if let entry = entries[place(of: type)], entry.type == ObjectIdentifier(type) {
            return entry.answer
        }
        let answer = ask(type)
        entries[place(of: type)] = (ObjectIdentifier(type), answer)
        return answer
    }

    /// Whether there is an answer for `type`.
    @inline(__always)
    func contains(_ type: Any.Type) -> Bool {
        entries[place(of: type)].map { $0.type == ObjectIdentifier(type) } ?? false
    }

    func note(_ type: Any.Type, _ answer: Answer) {
        entries[place(of: type)] = (ObjectIdentifier(type), answer)
    }

    @inline(__always)
    private func place(of type: Any.Type) -> Int {
        // Metadata is aligned to 8 bytes at least.
        let bits = UInt(bitPattern: ObjectIdentifier(type))
        return Int((bits >> 3 ^ bits >> 9) & 15)
    }
}
