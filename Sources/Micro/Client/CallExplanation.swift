/// What would become of a call, without making it: which nodes it may use and why not the others,
/// which would be picked, how long it may take, and when it would be tried again.
///
/// ``description`` is for people. Coded, times are in seconds.
public struct CallExplanation: Sendable, Hashable, Codable {
    /// Where the nodes come from.
    public struct Source: Sendable, Hashable, Codable {
        /// "the local register /run/…".
        public var name: String
        /// How long ago contact with it was lost, in seconds: the nodes may be out of date by so
        /// much. 0 while there is.
        public var age: Double
    }

    /// The rule that the call meets.
    public struct Rule: Sendable, Hashable, Codable {
        /// Its name.
        public var name: String
        /// The nodes that it leads to: the first step that has any counts.
        public var steps: [Step]
    }

    /// One of the subsets that a rule tries.
    public struct Step: Sendable, Hashable, Codable {
        /// "version 2, zone eu".
        public var subset: String
        /// How many nodes in it take calls.
        public var ready: Int
        /// How many drain.
        public var draining: Int
        /// How many take no calls yet.
        public var starting: Int
    }

    /// Whether a node may be called.
    public enum Verdict: String, Sendable, Hashable, Codable {
        /// It takes calls.
        case candidate
        /// It is called when no candidate can be.
        case reserve
        /// It isn't called.
        case no
    }

    /// A node of the service.
    public struct Node: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Where it would be connected to; its first address when it can't be.
        public var address: String
        /// The version of the service on it.
        public var version: String
        /// The zone that it is in.
        public var zone: String
        /// How far it is in its life: "starting", "ready", "draining".
        public var state: String
        /// Its share of the calls, relative to the others.
        public var weight: Int
        /// Whether it may be called.
        public var verdict: Verdict
        /// Why.
        public var reason: String
        /// How this client has fared with it; nil when it has not called the service yet.
        public var record: Record?
    }

    /// How a client has fared with a node, on all of its event loops together.
    public struct Record: Sendable, Hashable, Codable {
        /// Event loops on which the service was called.
        public var loops = 0
        /// Those of them that are connected to the node.
        public var connected = 0
        /// Those of them that call it only when no other node can be called.
        public var reserve = 0
        /// Why.
        public var why = ""
        /// Calls in flight.
        public var inFlight: UInt64 = 0
        /// Attempts that the node has answered.
        public var successes: UInt64 = 0
        /// Attempts that ended without an answer.
        public var failures: UInt64 = 0
        /// The longest of the loops' mean latencies, in seconds.
        public var latency: Double?
    }

    /// Which node would be called.
    public struct Pick: Sendable, Hashable, Codable {
        /// The name of the way: "p2c".
        public var selector: String
        /// How many nodes it can be.
        public var candidates: Int
        /// The node, when it can be only one.
        public var node: String?
    }

    /// How long the call may take.
    public struct Time: Sendable, Hashable, Codable {
        /// In all, in seconds.
        public var total: Double
        /// Who says so: "the client's default".
        public var origin: String
        /// One attempt, in seconds; nil: as long as the call.
        public var attempt: Double?
    }

    /// When the call would be tried again.
    public struct Retry: Sendable, Hashable, Codable {
        /// In all.
        public var attempts: Int
        /// Whether also when it may have been processed.
        public var isIdempotent: Bool
        /// Whether it waits for a node instead of failing.
        public var waitsForReady: Bool
        /// Retries may be so many percent of the calls.
        public var budgetPercent: Int
        /// And so many per second in any case.
        public var budgetPerSecond: Int
    }

    /// Something else that decides about the call, and how it is now: a breaker, a limiter.
    public struct Policy: Sendable, Hashable, Codable {
        /// "breaker".
        public var name: String
        /// For people: "closed".
        public var state: String
    }

    /// Why the call would fail.
    public struct Failure: Sendable, Hashable, Codable {
        /// The gRPC status.
        public var code: Int
        /// For people.
        public var detail: String
    }

    /// The service as it stands in the register.
    public var service: String
    /// "Service.Method", or in full "package.Service/Method".
    public var endpoint: String
    /// Where the nodes come from.
    public var source: Source
    /// The rule that the call meets; nil: none.
    public var rule: Rule?
    /// All that are known, in the order they came.
    public var nodes: [Node]
    /// Which of them it would be; nil when there is none.
    public var pick: Pick?
    /// How long the call may take; nil when no time is left.
    public var time: Time?
    /// When it would be tried again.
    public var retry: Retry
    /// What else decides.
    public var policies: [Policy]
    /// Why the call would fail; nil when it would be sent.
    public var failure: Failure?
}
