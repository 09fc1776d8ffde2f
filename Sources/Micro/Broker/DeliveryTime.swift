/// When a message may be delivered at the earliest.
public enum DeliveryTime: Sendable, Hashable {
    /// As soon as possible.
    case now

    /// This long after the broker has accepted it. It then joins the others of its key: those that
    /// were published meanwhile are before it.
    case after(Duration)
}
