/// What carries the bytes of connections instead of TCP: a plugin written in C against
/// `mcore/transport_plugin.h`, or a built-in transport with faults.
///
/// ```swift
/// var options = ServiceOptions()
/// options.transports = [try TransportPlugin(path: "/opt/acme/rdma.so", options: ["queue": "64"])]
/// ```
///
/// Its name is the scheme of its addresses, "rdma://10.0.0.7:1"; addresses without a scheme belong
/// to the first plugin, and a server without addresses listens where that one chooses. A service
/// whose options name none takes what `MICRO_TRANSPORT` says, so that it runs over a plugin without
/// a change: `MICRO_TRANSPORT="plugin:/opt/acme/rdma.so?queue=64"`.
///
/// TLS lies over a plugin as over TCP ("tls+rdma://"), unless it is secure itself. A plugin that
/// breaks its contract loses the connection, and the log names the rule; one that damages memory or
/// ends the process can't be helped. Its code stays until the process ends.
public struct TransportPlugin: Sendable {
    let source: TransportSource

    /// Loads a shared object. Blocks on files.
    ///
    /// - Parameters:
    ///   - path: The file. It, and the folder that it is in, may be writable by nobody but this
    ///     user and root.
    ///   - options: For the plugin, which refuses those that it does not know.
    ///   - sha256: 64 hex digits that the file must have; nil: any.
    /// - Throws: ``MicroError`` that names the file and the reason.
    public init(
        path: String, options: [String: String] = [:], sha256: String? = nil
    ) throws(MicroError) {
        source = TransportSource(.file(path: path, options: options, sha256: sha256))
        _ = try source.table()
    }

    /// A plugin that is part of the program.
    ///
    /// - Parameters:
    ///   - table: A `const mcore_transport_plugin *`, which must stay as it is.
    ///   - options: For the plugin, which refuses those that it does not know.
    /// - Throws: ``MicroError`` that says what is wrong with the table.
    public init(table: UnsafeRawPointer, options: [String: String] = [:]) throws(MicroError) {
        source = TransportSource(.table(CoreTable(raw: table), options: options))
        _ = try source.table()
    }

    /// Addresses of `scheme` with faults: for tests of what services do when the network fails.
    ///
    /// - Parameter scheme: "tcp", "unix" or "memory".
    /// - Throws: ``MicroError`` invalidArgument that says which fault or scheme is wrong.
    public init(faults: TransportFaults, in scheme: String = "tcp") throws(MicroError) {
        source = TransportSource(.faulty(scheme, faults.options))
        _ = try source.table()
    }

    /// What an environment variable says. It is loaded when it is needed first, and a problem with
    /// it names the variable.
    init(url: String, variable: String) {
        source = TransportSource(.url(url, variable: variable))
    }

    /// TCP as the processes on a machine of a simulated network have it.
    init(of network: SimulatedNetwork, table: CoreTable) {
        source = TransportSource(.network(network, table))
    }

    /// What `MICRO_TRANSPORT` says, for programs that make a ``Client`` or ``Server`` of their own.
    /// They are loaded when they are needed first; who uses them then reports what is wrong.
    /// Nothing in a simulated process, whose environment variables are not those of this one.
    public static var configured: [TransportPlugin] {
        guard Environment.current.process == nil else { return [] }
        let variable = "MICRO_TRANSPORT"
        return (ProcessEnvironment[variable] ?? "").split(separator: ",").map {
            TransportPlugin(url: String($0), variable: variable)
        }
    }

    /// The scheme of its addresses.
    public var name: String { source.scheme ?? "" }
    /// The plugin's own.
    public var version: String { source.version ?? "" }
    /// Whether connections are encrypted by the transport itself.
    public var isSecure: Bool { source.isSecure }
}

/// What goes wrong on a transport, and how often. Chances are from 0 to 1: of each connection that
/// is made, or of each piece of bytes that is sent or received.
///
/// In a ``Simulation``, the same seed gives the same faults.
public struct TransportFaults: Sendable, Hashable {
    /// Of the faults.
    public var seed: UInt64 = 0
    /// Bytes arrive in pieces of 1 to so many; 0: as they come.
    public var readBytes = 0
    /// Bytes are sent in pieces of 1 to so many; 0: as they are.
    public var writeBytes = 0
    /// A piece is late by up to that much; order is kept. At most an hour.
    public var delay: Duration = .zero
    /// A connection is refused.
    public var refuse = 0.0
    /// A connection gets no answer until its timeout.
    public var blackHole = 0.0
    /// A piece breaks the connection, for both ends.
    public var reset = 0.0
    /// A piece is the last that arrives, as if the peer had closed in order.
    public var end = 0.0
    /// From a piece on, all that is sent is lost, and nothing comes any more.
    public var halfOpen = 0.0

    /// None.
    public init() {}

    var options: [String: String] {
        func chance(_ value: Double) -> String {
            guard value.isFinite, value.magnitude < 1000 else { return "\(value)" }
            return "\(Int((value * 1_000_000).rounded()))"
        }
        return [
            "seed": "\(seed)", "read_bytes": "\(readBytes)", "write_bytes": "\(writeBytes)",
            "delay_ms": "\(delay.clampedMilliseconds)", "refuse": chance(refuse),
            "black_hole": chance(blackHole), "reset": chance(reset), "end": chance(end),
            "half_open": chance(halfOpen),
        ]
    }
}
