import Micro

/// What somebody says in the room.
struct ChatLine: Codable, Sendable {
    var from: String
    var text: String
}

/// The service and those who join it share this.
extension Endpoint where Request == ChatLine, Reply == ChatLine {
    /// Every line that is sent comes to all who have joined.
    static var join: Self { .init("chat", "Chat.Join") }
}
