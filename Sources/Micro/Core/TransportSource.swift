internal import CMicroCore
internal import Synchronization

/// A table of the core that belongs to whoever made it.
struct CoreTable: @unchecked Sendable {  // tables are immutable
    let raw: UnsafeRawPointer
}

/// Where a transport comes from, and its table once it was loaded. Any thread.
final class TransportSource: Sendable {
    enum Origin: Sendable {
        case file(path: String, options: [String: String], sha256: String?)
        case table(CoreTable, options: [String: String])
        case faulty(String, [String: String])
        case url(String, variable: String)
        case network(SimulatedNetwork, CoreTable)
    }

    private typealias Table = UnsafePointer<mcore_transport_plugin>

    private struct Loaded: @unchecked Sendable {  // tables are immutable
        var scheme: String
        var table: Table
        /// The one with faults, which is freed with this.
        var faulty: Table?
    }

    private let origin: Origin
    private let loaded = Mutex<Result<Loaded, MicroError>?>(nil)

    init(_ origin: Origin) { self.origin = origin }

    deinit {
        if case .success(let loaded)? = loaded.withLock({ $0 }), let faulty = loaded.faulty {
            mcore_transport_free_faulty(faulty)
        }
    }

    /// The scheme of its addresses; nil when it can't be loaded.
    var scheme: String? { try? load().scheme }

    var version: String? { (try? load().table).map { String(cString: $0.pointee.version) } }

    var isSecure: Bool {
        guard let table = try? load().table else { return false }
        return table.pointee.caps & UInt64(MCORE_TRANSPORT_CAP_SECURE) != 0
    }

    /// Why it can't be used.
    var problem: String? {
        do {
            _ = try load()
            return nil
        } catch {
            guard case .url(_, let variable) = origin else { return error.detail }
            return "\(variable): \(error.detail)"
        }
    }

    func table() throws(MicroError) -> UnsafePointer<mcore_transport_plugin> {
        try load().table
    }

    private func load() throws(MicroError) -> Loaded {
        try loaded.withLock { (known) -> Result<Loaded, MicroError> in
            if let known { return known }
            let result = Result { () throws(MicroError) in try TransportSource.load(origin) }
            known = result
            return result
        }.get()
    }

    private static func load(_ origin: Origin) throws(MicroError) -> Loaded {
        switch origin {
        case .file(let path, let options, let sha256):
            return try loadFile(path, options, sha256)
        case .table(let table, let options):
            let table = table.raw.assumingMemoryBound(to: mcore_transport_plugin.self)
            return try guarded(options, nil) { mcore_transport_register(table, $0, $1, $2, $3) }
        case .network(_, let table):
            let table = table.raw.assumingMemoryBound(to: mcore_transport_plugin.self)
            return Loaded(scheme: TransportScheme.tcp, table: table)
        case .faulty(let scheme, let options):
            return try makeFaulty(scheme, options)
        case .url(let text, _):
            let url = try TransportURL(text)
            switch url.kind {
            case .builtIn: return Loaded(scheme: "tcp", table: mcore_transport_tcp())
            case .faulty(let scheme): return try makeFaulty(scheme, url.options)
            case .plugin(let path):
                var options = url.options
                let sha256 = options.removeValue(forKey: "sha256")
                return try loadFile(path, options, sha256)
            }
        }
    }

    // MARK: Plugins

    private static func loadFile(
        _ path: String, _ options: [String: String], _ sha256: String?
    ) throws(MicroError) -> Loaded {
        try guarded(options, sha256) { mcore_transport_load(path, $0, $1, $2, $3) }
    }

    private static func guarded(
        _ options: [String: String], _ sha256: String?,
        _ load: (
            UnsafePointer<mcore_transport_load_options>, UnsafeMutablePointer<Table?>,
            UnsafeMutablePointer<CChar>?, Int
        ) -> mcore_status
    ) throws(MicroError) -> Loaded {
        var table: Table?
        let (status, detail) = withDetail { detail, size in
            withHeaders(options) { headers in
                (sha256 ?? "").withCString { sha256Text in
                    var raw = mcore_transport_load_options()
                    raw.struct_size = UInt32(MemoryLayout<mcore_transport_load_options>.size)
                    raw.options = headers.baseAddress
                    raw.option_count = UInt32(headers.count)
                    if sha256 != nil { raw.sha256 = sha256Text }
                    return load(&raw, &table, detail, size)
                }
            }
        }
        guard status >= 0, let table else { throw failure(status, detail) }
        return Loaded(scheme: String(cString: table.pointee.name), table: table)
    }

    private static func failure(_ status: mcore_status, _ detail: String) -> MicroError {
        let status = CoreStatus(raw: status)
        return MicroError(
            "transport", status == .brokenPlugin ? .failedPrecondition : status.code,
            detail.isEmpty ? status.text : detail)
    }

    // MARK: Faults

    private static func makeFaulty(
        _ scheme: String, _ options: [String: String]
    ) throws(MicroError) -> Loaded {
        let inner: Table?
        switch scheme {
        case "tcp": inner = mcore_transport_tcp()
        case "unix": inner = mcore_transport_unix()
        case "memory": inner = mcore_transport_memory()
        default:
            throw MicroError.invalid(
                "transport",
                "faults can be had in tcp, unix and memory, not in \"\(scheme.prefix(64))\"",
                at: "faults")
        }
        var faults = mcore_faults()
        faults.struct_size = UInt32(MemoryLayout<mcore_faults>.size)
        let (status, detail) = withDetail { detail, size in
            withHeaders(options) {
                mcore_faults_parse($0.baseAddress, UInt32($0.count), &faults, detail, size)
            }
        }
        guard status >= 0 else { throw failure(status, detail) }
        var table: Table?
        try check(
            mcore_transport_faulty(inner, &faults, &table), "transport", "add faults to \(scheme)")
        guard let table else { throw MicroError("transport", .internal, "the core made no table") }
        return Loaded(scheme: scheme, table: table, faulty: table)
    }
}

/// Lends names and values in the core's form, sorted by name.
private func withHeaders<T>(
    _ options: [String: String], _ body: (UnsafeBufferPointer<mcore_header>) -> T
) -> T {
    var arena: [UInt8] = []
    var lengths: [(Int, Int)] = []
    for (name, value) in options.sorted(by: { $0.key < $1.key }) {
        arena.append(contentsOf: name.utf8)
        arena.append(contentsOf: value.utf8)
        lengths.append((name.utf8.count, value.utf8.count))
    }
    return arena.withUnsafeBytes { arena in
        var offset = 0
        func take(_ count: Int) -> mcore_slice {
            defer { offset += count }
            return mcore_slice(data: arena.baseAddress.map { $0 + offset }, len: count)
        }
        let headers = lengths.map { mcore_header(name: take($0.0), value: take($0.1)) }
        return headers.withUnsafeBufferPointer(body)
    }
}
