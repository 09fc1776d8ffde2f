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
    /// It is not tried until a pause after a failed connect is over.
    var isBackingOff: Bool
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
            mcore_target_node_stats(
                target.pointer, mcore_slice(data: $0.baseAddress, len: $0.count), &raw)
        }
        guard CoreStatus(raw: status) == .ok else { return nil }
        return NodeStats(
            inFlight: UInt64(raw.outstanding), successes: raw.successes, failures: raw.failures,
            latency: raw.latency_ewma_ns == 0
                ? nil : .nanoseconds(Int64(clamping: raw.latency_ewma_ns)),
            isConnected: raw.connected != 0, isBackingOff: raw.backing_off != 0)
    }
}
