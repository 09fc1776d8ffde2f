internal import CMicroCore

/// How one loop has fared with one node.
struct NodeStats: Sendable, Hashable {
    /// Calls in flight.
    var inFlight: UInt64
    /// Attempts that the node has answered.
    var successes: UInt64
    /// Attempts that ended without an answer.
    var failures: UInt64
    /// The mean of the last answers, exponentially weighted; nil before the first.
    var latency: Duration?
    var isConnected: Bool
    /// Why it is called only when no other can be; nil: it is not so.
    var reserve: NodeReserve?
}

/// Why a node had better not be called.
enum NodeReserve: Sendable, Hashable, CustomStringConvertible {
    /// For so long yet.
    case ejected(by: String, Duration)
    case unhealthy, silent, connecting, backingOff

    /// For people.
    var description: String {
        switch self {
        case .ejected(let cause, let left):
            "ejected by \(cause), for \(left.clampedMilliseconds) ms yet"
        case .unhealthy: "its health checks fail"
        case .silent: "owes an answer to a ping"
        case .connecting: "is being connected to"
        case .backingOff: "can't be connected to"
        }
    }

    fileprivate init?(_ raw: mcore_node_stats, now: UInt64) {
        switch Int(raw.why) {
        case Int(MCORE_NODE_EJECTED):
            let left = raw.ejected_until_ns > now ? raw.ejected_until_ns - now : 0
            self = .ejected(
                by: NodeReserve.cause(raw.ejected_by), .nanoseconds(Int64(clamping: left)))
        case Int(MCORE_NODE_UNHEALTHY): self = .unhealthy
        case Int(MCORE_NODE_SILENT): self = .silent
        case Int(MCORE_NODE_CONNECTING): self = .connecting
        case Int(MCORE_NODE_BACKING_OFF): self = .backingOff
        default: return nil
        }
    }

    private static func cause(_ raw: UInt32) -> String {
        switch Int(raw) {
        case Int(MCORE_EJECTED_FOR_RATE): "its success rate"
        case Int(MCORE_EJECTED_FOR_LATENCY): "its latency"
        default: "failures in a row"
        }
    }
}

extension LoopClient {
    /// What is known here of the nodes of a target; nil when nobody has called it.
    func stats(of key: TargetKey, nodes ids: [String]) -> [String: NodeStats]? {
        guard let target = target(key) else { return nil }
        var stats: [String: NodeStats] = [:]
        for id in ids { stats[id] = self.stats(of: target, id) }
        return stats
    }

    private func stats(of target: LoopTarget, _ id: String) -> NodeStats? {
        var raw = mcore_node_stats()
        raw.struct_size = UInt32(MemoryLayout<mcore_node_stats>.size)
        var id = id
        let status = id.withUTF8 {
            mcore_target_node_stats(target.pointer, mcore_slice(UnsafeRawBufferPointer($0)), &raw)
        }
        guard CoreStatus(raw: status) == .ok else { return nil }
        return NodeStats(
            inFlight: UInt64(raw.outstanding), successes: raw.successes, failures: raw.failures,
            latency: raw.latency_ewma_ns == 0
                ? nil : .nanoseconds(Int64(clamping: raw.latency_ewma_ns)),
            isConnected: raw.connected != 0, reserve: NodeReserve(raw, now: loop.now))
    }
}
