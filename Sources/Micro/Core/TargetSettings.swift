internal import CMicroCore

/// How a balancer picks nodes, and what it makes of the outcomes, as the core takes it.
struct TargetSettings: Sendable {
    var pick = PickPolicy.p2c
    var zone = ""
    var subsetSize: UInt32 = 0
    /// Differs between clients.
    var subsetKey: UInt64 = 0
    var slowStart: Duration = .zero
    var maxLoadPercent: UInt32 = 125
    var ejectFailures: UInt32 = 5
    var ejectsBySuccessRate = true
    /// 0: latency ejects nobody.
    var ejectLatencyPercent: UInt32 = 0
    var ejectTime: Duration = .seconds(1)
    var ejectTimeMax: Duration = .seconds(30)
    var ejectPercentMax: UInt32 = 50
    var panicPercent: UInt32 = 50
    /// nil: nobody is asked.
    var healthInterval: Duration?
    var healthTimeout: Duration = .seconds(1)
    var unhealthyAfter: UInt32 = 2
    var healthyAfter: UInt32 = 1
    var healthService = ""

    /// Lends them in the core's form.
    func withRaw<T>(_ use: (UnsafePointer<mcore_target_options>) -> T) -> T {
        var raw = mcore_target_options()
        mcore_target_options_default(&raw)
        raw.pick = pick
        raw.subset_size = subsetSize
        raw.slow_start_ms = slowStart.clampedMilliseconds
        raw.ring_load_percent = maxLoadPercent
        raw.eject_failures = ejectFailures
        if !ejectsBySuccessRate { raw.eject_deviations_milli = 0 }
        raw.eject_latency_percent = ejectLatencyPercent
        raw.eject_ms = ejectTime.clampedMilliseconds
        raw.eject_max_ms = ejectTimeMax.clampedMilliseconds
        raw.eject_share_percent = ejectPercentMax
        raw.panic_percent = panicPercent
        raw.health_interval_ms = healthInterval?.clampedMilliseconds ?? 0
        raw.health_timeout_ms = healthTimeout.clampedMilliseconds
        raw.health_unhealthy_after = unhealthyAfter
        raw.health_healthy_after = healthyAfter
        let texts = (zone: Array(zone.utf8), service: Array(healthService.utf8))
        return texts.zone.withUnsafeBytes { zone in
            texts.service.withUnsafeBytes { service in
                withUnsafeBytes(of: subsetKey) { key in
                    raw.zone = mcore_slice(zone)
                    raw.health_service = mcore_slice(service)
                    raw.subset_key = mcore_slice(key)
                    return use(&raw)
                }
            }
        }
    }
}

/// The ways to pick a node.
enum PickPolicy {
    static let random = UInt32(MCORE_PICK_RANDOM)
    static let roundRobin = UInt32(MCORE_PICK_ROUND_ROBIN)
    static let p2c = UInt32(MCORE_PICK_P2C)
    static let leastRequest = UInt32(MCORE_PICK_LEAST_REQUEST)
    static let ringHash = UInt32(MCORE_PICK_RING_HASH)
    static let maglev = UInt32(MCORE_PICK_MAGLEV)
    static let rendezvous = UInt32(MCORE_PICK_RENDEZVOUS)
}
