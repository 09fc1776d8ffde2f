internal import Synchronization

/// A bounded queue between producers and one consumer, with backpressure: a full queue suspends who
/// sends.
///
/// The consumer iterates it, once. `finish` ends it: what is queued is still delivered. Safe to use
/// from any thread; cancelling a sender or the consumer takes only that one out.
final class BoundedChannel<Element: Sendable>: AsyncSequence, Sendable {
    /// What became of an element that was not allowed to wait.
    enum Offer: Sendable, Hashable { case accepted, full, finished }

    private struct Sender {
        let id: UInt64
        let element: Element
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct Receiver {
        let id: UInt64
        let continuation: CheckedContinuation<Element?, any Error>
    }

    private enum End {
        case finished
        case failed(any Error)
    }

    private enum Parking {
        case wait
        case sent
        case refused(any Error)
        case handed(Receiver)
    }

    private struct State {
        var elements = Fifo<Element>()
        var senders = Fifo<Sender>()
        var receiver: Receiver?
        var end: End?
        var lastID: UInt64 = 0

        mutating func newID() -> UInt64 {
            lastID &+= 1
            return lastID
        }
    }

    /// How many elements wait at most.
    let capacity: Int
    private let state = Mutex(State())

    /// - Parameter capacity: At least 1; less is taken for 1.
    init(capacity: Int) { self.capacity = Swift.max(1, capacity) }

    /// How many elements wait now.
    var count: Int { state.withLock { $0.elements.count } }

    // MARK: Sending

    /// Queues `element`, waiting while the queue is full.
    ///
    /// - Throws: `CancellationError`, or ``MicroError`` (`unavailable`) when the channel is
    ///   finished; the element was not queued then.
    func send(_ element: Element) async throws {
        switch offer(element) {
        case .accepted: return
        case .finished: throw BoundedChannel.closed
        case .full: break
        }
        let id = state.withLock { $0.newID() }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                park(Sender(id: id, element: element, continuation: continuation))
            }
        } onCancel: {
            let sender = state.withLock { $0.senders.removeFirst { $0.id == id } }
            sender?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Queues `element` if there is room, without waiting.
    func offer(_ element: Element) -> Offer {
        let (offer, receiver): (Offer, Receiver?) = state.withLock { state in
            if state.end != nil { return (.finished, nil) }
            if let receiver = state.receiver.take() { return (.accepted, receiver) }
            // Whoever waits to send comes first.
            guard state.elements.count < capacity, state.senders.isEmpty else {
                return (.full, nil)
            }
            state.elements.append(element)
            return (.accepted, nil)
        }
        receiver?.continuation.resume(returning: element)
        return offer
    }

    /// Queues `element` in any case, and drops the oldest one when there is no room.
    ///
    /// - Returns: What was dropped.
    func replaceOldest(with element: Element) -> Element? {
        let (dropped, receiver): (Element?, Receiver?) = state.withLock { state in
            if state.end != nil { return (element, nil) }
            if let receiver = state.receiver.take() { return (nil, receiver) }
            let dropped = state.elements.count >= capacity ? state.elements.popFirst() : nil
            state.elements.append(element)
            return (dropped, nil)
        }
        receiver?.continuation.resume(returning: element)
        return dropped
    }

    private func park(_ sender: Sender) {
        let decision: Parking = state.withLock { state in
            if Task.isCancelled { return .refused(CancellationError()) }
            if state.end != nil { return .refused(BoundedChannel.closed) }
            if let receiver = state.receiver.take() { return .handed(receiver) }
            if state.elements.count < capacity, state.senders.isEmpty {
                state.elements.append(sender.element)
                return .sent
            }
            state.senders.append(sender)
            return .wait
        }
        switch decision {
        case .wait: break
        case .sent: sender.continuation.resume()
        case .refused(let error): sender.continuation.resume(throwing: error)
        case .handed(let receiver):
            receiver.continuation.resume(returning: sender.element)
            sender.continuation.resume()
        }
    }

    // MARK: Ending

    /// Ends the channel: the consumer gets what is queued, and then the end, or `error`. Who waits
    /// to send fails. Idempotent: the first call counts.
    func finish(throwing error: (any Error)? = nil) {
        let (senders, receiver): ([Sender], Receiver?) = state.withLock { state in
            guard state.end == nil else { return ([], nil) }
            state.end = error.map { .failed($0) } ?? .finished
            return (state.senders.removeAll(), state.receiver.take())
        }
        for sender in senders { sender.continuation.resume(throwing: BoundedChannel.closed) }
        guard let receiver else { return }
        if let error {
            receiver.continuation.resume(throwing: error)
        } else {
            receiver.continuation.resume(returning: nil)
        }
    }

    /// Ends the channel from the consumer's side: what is queued is dropped.
    func abandon() {
        finish()
        state.withLock { $0.elements = Fifo() }
    }

    private static var closed: MicroError {
        MicroError(
            "channel.send", .unavailable, "the channel is finished: nobody will receive this")
    }

    // MARK: Receiving

    /// The next element; nil at the end.
    ///
    /// - Throws: `CancellationError`; what the channel was finished with; ``MicroError``
    ///   (`failedPrecondition`) when another task waits here already.
    func receive() async throws -> Element? {
        let id = state.withLock { $0.newID() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                receive(Receiver(id: id, continuation: continuation))
            }
        } onCancel: {
            let receiver: Receiver? = state.withLock { state in
                guard state.receiver?.id == id else { return nil }
                return state.receiver.take()
            }
            receiver?.continuation.resume(throwing: CancellationError())
        }
    }

    private func receive(_ receiver: Receiver) {
        var admitted: Sender?
        let result: Result<Element?, any Error>? = state.withLock { state in
            if Task.isCancelled { return .failure(CancellationError()) }
            if let element = state.elements.popFirst() {
                if let sender = state.senders.popFirst() {
                    state.elements.append(sender.element)
                    admitted = sender
                }
                return .success(element)
            }
            switch state.end {
            case .finished: return .success(nil)
            case .failed(let error): return .failure(error)
            case nil: break
            }
            guard state.receiver == nil else {
                return .failure(
                    MicroError(
                        "channel.receive", .failedPrecondition,
                        "two tasks receive at once: a channel has one consumer"))
            }
            state.receiver = receiver
            return nil
        }
        admitted?.continuation.resume()
        if let result { receiver.continuation.resume(with: result) }
    }

    struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let channel: BoundedChannel

        mutating func next() async throws -> Element? { try await channel.receive() }
    }

    func makeAsyncIterator() -> Iterator { Iterator(channel: self) }
}
