internal import CMicroCore

/// The network between the processes of a simulation. On the thread of its simulation.
package final class SimulatedNetwork: @unchecked Sendable {  // of one thread
    private let raw: OpaquePointer

    /// A machine in the network.
    package struct Host: Sendable, Hashable {
        let number: UInt32
    }

    /// How it is from one host to another.
    package struct Link: Sendable, Hashable {
        /// What is sent waits.
        package var isDown = false
        /// How long each piece of bytes takes.
        package var delay: ClosedRange<Duration>

        package init(isDown: Bool = false, delay: ClosedRange<Duration>) {
            self.isDown = isDown
            self.delay = delay
        }
    }

    init(seed: UInt64) throws(MicroError) {
        var created: OpaquePointer?
        try check(mcore_network_create(seed, &created), "simulation", "make a network")
        guard let created else {
            throw MicroError("simulation", .internal, "the core made no network")
        }
        raw = created
    }

    deinit { mcore_network_destroy(raw) }

    /// Adds a machine, which is known by its address, and returns what its processes have instead
    /// of TCP.
    package func addHost(_ address: String) throws(MicroError) -> (Host, TransportPlugin) {
        var number: UInt32 = 0
        var table: UnsafePointer<mcore_transport_plugin>?
        try check(
            mcore_network_add_host(raw, address, address, &number, &table), "simulation",
            "add the machine \(address)")
        guard let table else { throw MicroError("simulation", .internal, "a machine without one") }
        return (
            Host(number: number), TransportPlugin(of: self, table: CoreTable(raw: table))
        )
    }

    /// Makes a machine be known by a name, too.
    package func rename(_ host: Host, to name: String) throws(MicroError) {
        try check(
            mcore_network_rename_host(raw, host.number, name), "simulation",
            "call a machine \(name)")
    }

    package func set(_ link: Link, from: Host, to: Host) throws(MicroError) {
        var raw = mcore_network_link()
        raw.struct_size = UInt32(MemoryLayout<mcore_network_link>.size)
        raw.down = link.isDown ? 1 : 0
        raw.delay_min_ns = link.delay.lowerBound.unsignedNanoseconds
        raw.delay_max_ns = link.delay.upperBound.unsignedNanoseconds
        try check(
            mcore_network_set_link(self.raw, from.number, to.number, &raw), "simulation",
            "change a link")
    }

    /// Breaks all connections of a machine.
    package func reset(_ host: Host) { _ = mcore_network_reset(raw, host.number, host.number) }

    /// Nothing arrives on the connections that a machine has open, any more.
    package func lose(_ host: Host) { _ = mcore_network_lose(raw, host.number, host.number) }

    /// The process on the host has died.
    package func crash(_ host: Host) { _ = mcore_network_crash(raw, host.number) }

    /// Connections that are open.
    package var connections: UInt64 { counts.connections }

    /// Equal for runs in which the same was sent at the same times.
    package var digest: UInt64 { counts.digest }

    private var counts: mcore_network_counts {
        var counts = mcore_network_counts()
        counts.struct_size = UInt32(MemoryLayout<mcore_network_counts>.size)
        mcore_network_read_counts(raw, &counts)
        return counts
    }
}
