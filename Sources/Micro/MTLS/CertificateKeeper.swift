internal import Logging
internal import Synchronization

/// Keeps a TLS context as its files are: it looks when something in their folders changes, and
/// every few seconds, since not every file system tells. A pair that is no good, as it is for the
/// moment between the writing of its two files, changes nothing.
final class CertificateKeeper: Sendable {
    let context: TLSContext
    private let files: [String]
    private let environment: Environment
    private let logger: Logger
    private let bell = WakeUp()
    private let state: Mutex<State>

    private struct State {
        var stamps: [FileStamp?]
        var complaint = ""
        var watching: SpawnedTask?
        var isClosed = false
    }

    /// Reads the files.
    ///
    /// - Throws: ``MicroError`` that names the file, or the certificate, and the reason.
    static func open(
        _ rules: TLSRules, _ material: TLSMaterial, environment: Environment, logger: Logger
    ) async throws -> CertificateKeeper {
        let onFailure: TLSContext.OnFailure? =
            rules.role == .server ? FailureLog(logger: logger, environment: environment).note : nil
        let (context, stamps) = try await environment.offload {
            // In this order: what changes meanwhile is seen as a change.
            let stamps = material.files.map { FileStamp($0) }
            return (try TLSContext(rules, material, onFailure: onFailure), stamps)
        }
        let keeper = CertificateKeeper(context, material.files, stamps, environment, logger)
        if !context.warning.isEmpty { logger.warning("\(context.warning)") }
        keeper.watch()
        return keeper
    }

    private init(
        _ context: TLSContext, _ files: [String], _ stamps: [FileStamp?],
        _ environment: Environment, _ logger: Logger
    ) {
        self.context = context
        self.files = files
        self.environment = environment
        self.logger = logger
        self.state = Mutex(State(stamps: stamps))
    }

    deinit { close() }

    /// Nothing is read any more. Connections go on.
    func close() {
        let watching = state.withLock { state in
            state.isClosed = true
            return state.watching.take()
        }
        watching?.cancel()
    }

    /// Reads the files now, changed or not.
    ///
    /// - Throws: As ``open(_:_:environment:logger:)``; the old material stays.
    func reload() async throws {
        let (context, files) = (context, files)
        let (warning, stamps) = try await environment.offload {
            let stamps = files.map { FileStamp($0) }
            return (try context.reload(), stamps)
        }
        state.withLock { state in
            state.stamps = stamps
            state.complaint = ""
        }
        logger.info(
            "certificates were read again", metadata: ["files": "\(files.joined(separator: " "))"])
        if !warning.isEmpty { logger.warning("\(warning)") }
    }

    // MARK: Watching

    private static let interval: Duration = .seconds(10)
    /// Certificate and key are written one after the other.
    private static let settling: Duration = .milliseconds(200)

    private func watch() {
        guard !files.isEmpty, !environment.isSimulated else { return }
        let (environment, bell, files) = (environment, bell, files)
        let task = environment.spawn { [weak self] in
            let folders = Set(files.map(parentFolder(of:)))
            var hints: [FolderWatch] = []
            for folder in folders {
                let hint = await bell.listen(to: folder, in: environment)
                if let hint { hints.append(hint) }
            }
            let clock = environment.clock
            while (try? await clock.sleep(for: CertificateKeeper.settling)) != nil {
                await self?.look()
                guard self != nil else { break }
                await bell.wait(atMost: CertificateKeeper.interval, clock: clock)
            }
            for hint in hints { hint.cancel() }
        }
        let isClosed = state.withLock { state in
            if !state.isClosed { state.watching = task }
            return state.isClosed
        }
        if isClosed { task.cancel() }
    }

    private func look() async {
        let files = files
        guard let stamps = try? await environment.offload({ files.map { FileStamp($0) } }),
            stamps != state.withLock({ $0.stamps })
        else { return }
        do {
            try await reload()
        } catch {
            complain(error)
        }
    }

    /// Once: it is tried again every few seconds.
    private func complain(_ error: any Error) {
        let text = MicroError(error, id: "tls").detail
        let isNew = state.withLock { state in
            let isNew = state.complaint != text
            state.complaint = text
            return isNew
        }
        guard isNew else { return }
        logger.error("certificates stay as they were", metadata: ["reason": "\(text)"])
    }
}

/// Logs peers that were turned away: a few in a second, then how many more.
private final class FailureLog: Sendable {
    private let logger: Logger
    private let environment: Environment
    private let state = Mutex(State())

    private struct State {
        var second = UInt64.max
        var count = 0
        var unlogged = 0
    }

    private static let linesPerSecond = 5

    init(logger: Logger, environment: Environment) {
        self.logger = logger
        self.environment = environment
    }

    @Sendable func note(_ peer: String, _ text: String) {
        let second = environment.clock.now.nanoseconds / 1_000_000_000
        let unlogged: Int? = state.withLock { state in
            if state.second != second {
                state.second = second
                state.count = 0
            }
            state.count += 1
            guard state.count <= FailureLog.linesPerSecond else {
                state.unlogged += 1
                return nil
            }
            defer { state.unlogged = 0 }
            return state.unlogged
        }
        guard let unlogged else { return }
        var metadata: Logger.Metadata = ["peer": "\(peer)", "reason": "\(text.onSingleLine)"]
        if unlogged > 0 { metadata["notLogged"] = "\(unlogged)" }
        logger.warning("a connection was refused", metadata: metadata)
    }
}
