/// Who is here, and what they are still to be told.
actor Room {
    private var members: [Int: AsyncStream<ChatLine>.Continuation] = [:]
    private var lastID = 0

    /// Lets somebody in. A member who reads too slowly misses the oldest lines: the others don't
    /// wait for anybody.
    func enter(_ name: String) -> (id: Int, lines: AsyncStream<ChatLine>) {
        let (lines, continuation) = AsyncStream.makeStream(
            of: ChatLine.self, bufferingPolicy: .bufferingNewest(100))
        lastID += 1
        members[lastID] = continuation
        say(ChatLine(from: "room", text: "\(name) has come; \(members.count) here"))
        return (lastID, lines)
    }

    func leave(_ id: Int, _ name: String) {
        members.removeValue(forKey: id)?.finish()
        say(ChatLine(from: "room", text: "\(name) has left"))
    }

    func say(_ line: ChatLine) {
        for member in members.values { member.yield(line) }
    }
}
