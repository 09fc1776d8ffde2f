/// Who can be cut off from whom.
enum Party: Hashable, Sendable {
    case machine(Int)
    case register
    case engines
}

/// Which of two directions, as seen from the first one.
public enum SimulatedDirection: Sendable, Hashable, CaseIterable {
    case both
    /// What it sends.
    case outgoing
    /// What it is sent.
    case incoming
}

/// How it is from one party to another.
enum Path: Sendable, Hashable {
    /// It takes that long.
    case open(ClosedRange<Duration>)
    /// Nothing arrives, and nobody is told.
    case silent
    /// There is nobody: the process of the other side does not run.
    case refused
}

/// What is wrong at present: pure.
struct FaultTable: Sendable {
    enum Fault: Sendable, Hashable {
        /// nil: from everybody.
        case partition(Party, from: Party?, SimulatedDirection)
        case delay(Party, to: Party?, ClosedRange<Duration>)
        case outage(Party)
    }

    /// How long every way takes when nothing is wrong.
    var latency: ClosedRange<Duration>
    private(set) var faults: [UInt64: Fault] = [:]
    private var last: UInt64 = 0

    init(latency: ClosedRange<Duration>) { self.latency = latency }

    mutating func add(_ fault: Fault) -> UInt64 {
        last += 1
        faults[last] = fault
        return last
    }

    /// Whether it was there.
    mutating func remove(_ id: UInt64) -> Bool { faults.removeValue(forKey: id) != nil }

    mutating func removeAll() { faults = [:] }

    /// One direction.
    func path(from source: Party, to target: Party) -> Path {
        guard source != target else { return .open(.zero ... .zero) }
        var delay = latency
        var (isSilent, isRefused) = (false, false)
        for fault in faults.values where fault.touches(source, target) {
            switch fault {
            case .outage: isRefused = true
            case .partition(let party, _, let direction):
                isSilent =
                    isSilent || direction == .both
                    || direction == (party == source ? .outgoing : .incoming)
            case .delay(_, _, let range):
                delay =
                    delay.lowerBound + range.lowerBound...delay.upperBound + range.upperBound
            }
        }
        return isSilent ? .silent : isRefused ? .refused : .open(delay)
    }

    /// There and back: silent when either direction is.
    func roundTrip(from source: Party, to target: Party) -> Path {
        switch (path(from: source, to: target), path(from: target, to: source)) {
        case (.open(let there), .open(let back)):
            .open(there.lowerBound + back.lowerBound...there.upperBound + back.upperBound)
        case (.silent, _), (_, .silent): .silent
        default: .refused
        }
    }
}

extension FaultTable.Fault {
    /// Whether it is about those two, in whatever order.
    fileprivate func touches(_ one: Party, _ two: Party) -> Bool {
        switch self {
        case .partition(let party, let other, _), .delay(let party, let other, _):
            guard let other else { return party == one || party == two }
            return (party == one && other == two) || (party == two && other == one)
        case .outage(let party): return party == one || party == two
        }
    }
}
