internal import CMicroCore

/// What is published under a name on the local network.
struct MDNSService: Sendable, Hashable {
    /// A name for people, 1 to 63 bytes.
    var instance: String
    /// "_greeter"; empty: none.
    var subtype: String
    /// 0: it has none.
    var port: UInt16
    /// IP addresses of its host, at most 16.
    var addresses: [String]
    /// Strings of at most 255 bytes.
    var text: [[UInt8]]
    /// How long others believe in it without hearing again.
    var ttl: Duration
}

/// What others publish.
struct MDNSInstance: Sendable, Hashable {
    var name: String
    var port: UInt16
    /// IP addresses of its host, without interfaces.
    var addresses: [String]
    var text: [[UInt8]]
}

/// Multicast DNS on one loop. Any thread.
final class LoopMDNS: Sendable {
    enum Event: Sendable {
        case found(MDNSInstance)
        case lost(String)
        /// How many network interfaces are used.
        case links(Int)
    }

    static let addressesMax = 16

    private let loop: EventLoop
    private let state: State

    private init(loop: EventLoop, state: State) {
        self.loop = loop
        self.state = state
    }

    /// Begins to listen.
    ///
    /// - Parameters:
    ///   - interface: nil means all that can multicast, but not the loopback interface.
    ///   - machine: In a simulation, the address of the machine; otherwise nothing.
    ///   - onEvent: Called on the loop; not after ``close()``.
    /// - Throws: ``MicroError`` `unavailable`, or as the system says, with the reason.
    static func open(
        on loop: EventLoop, interface: String?, machine: String,
        onEvent: @escaping @Sendable (Event) -> Void
    ) async throws -> LoopMDNS {
        try await loop.run {
            let state = State(onEvent)
            try state.open(on: loop, interface: interface ?? "", machine: machine)
            return LoopMDNS(loop: loop, state: state)
        }
    }

    deinit {
        let state = state
        loop.execute { state.close() }
    }

    /// Announces a service, when nobody else has the name.
    ///
    /// - Parameter onChange: Called on the loop with true when others see it, and with false when
    ///   somebody has the name, before or after that: it is withdrawn then.
    /// - Returns: The number of the publication.
    func publish(
        _ service: MDNSService, type: String, onChange: @escaping @Sendable (Bool) -> Void
    ) async throws -> UInt64 {
        let state = state
        return try await loop.run { try state.publish(service, type: type, onChange) }
    }

    /// Says something else under the name. - Returns: false when the publication is gone.
    func update(_ id: UInt64, _ service: MDNSService, type: String) async throws -> Bool {
        let state = state
        return try await loop.run { try state.update(id, service, type: type) }
    }

    /// Takes it back. Unknown ones are ignored.
    func withdraw(_ id: UInt64) {
        let state = state
        loop.executeNow { state.withdraw(id) }
    }

    /// Begins to look for services; once.
    ///
    /// - Parameter addressKey: Services whose text has it need no addresses of their host.
    func browse(type: String, addressKey: String) async throws {
        let state = state
        try await loop.run { try state.browse(type: type, addressKey: addressKey) }
    }

    /// Says goodbye, and is done then.
    func close() async {
        let state = state
        _ = try? await loop.run { state.close() }
    }

    // MARK: On the loop

    fileprivate final class State: @unchecked Sendable {  // all of it is the loop thread's
        private var raw: OpaquePointer?
        private let onEvent: @Sendable (Event) -> Void
        private var publications: [UInt64: @Sendable (Bool) -> Void] = [:]

        init(_ onEvent: @escaping @Sendable (Event) -> Void) { self.onEvent = onEvent }

        func open(on loop: EventLoop, interface: String, machine: String) throws {
            // The core's reference: given back when it says that it is done.
            let context = Unmanaged.passRetained(self)
            let (status, detail) = withDetail { detail, size in
                withSlices([interface, machine]) { slices in
                    var options = mcore_mdns_options()
                    mcore_mdns_options_default(&options)
                    options.interface_name = slices[0]
                    options.machine = slices[1]
                    return mcore_mdns_create(
                        loop.raw, &options, mdnsEvents.pointer, context.toOpaque(), detail, size,
                        &self.raw)
                }
            }
            guard status < 0 else { return }
            context.release()
            let code = CoreStatus(raw: status).code
            throw MicroError("mdns", code == .internal ? .unavailable : code, detail)
        }

        private func handle() throws -> OpaquePointer {
            guard let raw else { throw MicroError("mdns", .unavailable, "it is closed") }
            return raw
        }

        func publish(
            _ service: MDNSService, type: String, _ onChange: @escaping @Sendable (Bool) -> Void
        ) throws -> UInt64 {
            let raw = try handle()
            var id: UInt64 = 0
            let status = withService(service, type) { mcore_mdns_publish(raw, $0, &id) }
            try check(status, "mdns", "publish \(service.instance)")
            publications[id] = onChange
            return id
        }

        func update(_ id: UInt64, _ service: MDNSService, type: String) throws -> Bool {
            let raw = try handle()
            let status = withService(service, type) { mcore_mdns_update(raw, id, $0) }
            if CoreStatus(raw: status) == .notFound { return false }
            try check(status, "mdns", "publish \(service.instance)")
            return true
        }

        func withdraw(_ id: UInt64) {
            publications[id] = nil
            if let raw { mcore_mdns_withdraw(raw, id) }
        }

        func browse(type: String, addressKey: String) throws {
            let raw = try handle()
            let status = withSlices([type, addressKey]) {
                mcore_mdns_browse(raw, $0[0], $0[1])
            }
            try check(status, "mdns", "look for \(type)")
        }

        func close() {
            guard let raw else { return }
            self.raw = nil
            publications = [:]
            mcore_mdns_close(raw, mdnsDone, Unmanaged.passUnretained(self).toOpaque())
        }

        // What the core tells.

        func published(_ id: UInt64, _ status: CoreStatus) {
            guard let onChange = publications[id] else { return }
            if status != .ok { publications[id] = nil }
            onChange(status == .ok)
        }

        func tell(_ event: Event) {
            if raw != nil { onEvent(event) }
        }
    }
}

// MARK: - Crossing

private func withService(
    _ service: MDNSService, _ type: String,
    _ body: (UnsafePointer<mcore_mdns_service>) -> mcore_status
) -> mcore_status {
    let text = service.text.flatMap { [UInt8(truncatingIfNeeded: $0.count)] + $0 }
    return withSlices([service.instance, type, service.subtype] + service.addresses) { slices in
        text.withUnsafeBytes { text in
            Array(slices[3...]).withUnsafeBufferPointer { addresses in
                var raw = mcore_mdns_service()
                raw.struct_size = UInt32(MemoryLayout<mcore_mdns_service>.size)
                raw.port = UInt32(service.port)
                raw.ttl_s = UInt32(clamping: max(1, service.ttl.clampedMilliseconds / 1000))
                raw.instance = slices[0]
                raw.type = slices[1]
                raw.subtype = slices[2]
                raw.txt = mcore_slice(text)
                raw.address_count = UInt32(clamping: addresses.count)
                raw.addresses = addresses.baseAddress
                return body(&raw)
            }
        }
    }
}

extension MDNSInstance {
    fileprivate init(_ raw: mcore_mdns_instance) {
        name = String(raw.name)
        port = UInt16(clamping: raw.port)
        addresses = UnsafeBufferPointer(start: raw.addresses, count: Int(raw.address_count))
            .map { String($0) }
        text = []
        var rest = [UInt8](raw.txt)[...]
        while let count = rest.popFirst() {
            text.append(Array(rest.prefix(Int(count))))
            rest = rest.dropFirst(Int(count))
        }
    }
}

private let mdnsDone: mcore_job = { context in
    guard let context else { return }
    Unmanaged<LoopMDNS.State>.fromOpaque(context).release()
}

/// The table of functions for the core, at an address that stays.
private struct MDNSEvents: @unchecked Sendable {  // not changed once it is made
    let pointer: UnsafeMutablePointer<mcore_mdns_events>

    init() {
        pointer = .allocate(capacity: 1)
        var events = mcore_mdns_events()
        events.struct_size = UInt32(MemoryLayout<mcore_mdns_events>.size)
        events.on_published = { context, id, status in
            MDNSEvents.state(context)?.published(id, CoreStatus(raw: status))
        }
        events.on_found = { context, instance in
            guard let instance else { return }
            MDNSEvents.state(context)?.tell(.found(MDNSInstance(instance.pointee)))
        }
        events.on_lost = { context, name in
            MDNSEvents.state(context)?.tell(.lost(String(name)))
        }
        events.on_links = { context, count in
            MDNSEvents.state(context)?.tell(.links(Int(count)))
        }
        pointer.initialize(to: events)
    }

    private static func state(_ context: UnsafeMutableRawPointer?) -> LoopMDNS.State? {
        context.map { Unmanaged<LoopMDNS.State>.fromOpaque($0).takeUnretainedValue() }
    }
}

private let mdnsEvents = MDNSEvents()
