/// The right to something, for a while. See ``Sync``.
public struct Lease: Sendable {
    /// What it is a lease of.
    public let name: String

    /// The fencing token: greater than that of every lease before.
    public let token: UInt64

    /// Tells the holder from others: a secret between it and the implementation of ``Sync``.
    public let owner: String

    /// How long it lives from each renewal.
    public let ttl: Duration

    /// When it ends unless it is renewed, on ``clock``.
    public let expiry: EventLoopClock.Instant

    /// The clock: virtual in a simulation.
    public let clock: EventLoopClock

    /// Makes a lease: for those who implement ``Sync``.
    public init(
        name: String, token: UInt64, owner: String, ttl: Duration, expiry: EventLoopClock.Instant,
        clock: EventLoopClock
    ) {
        self.name = name
        self.token = token
        self.owner = owner
        self.ttl = ttl
        self.expiry = expiry
        self.clock = clock
    }
}
