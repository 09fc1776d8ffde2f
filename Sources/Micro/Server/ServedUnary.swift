/// What the calls of one asynchronous endpoint share.
final class ServedUnary: @unchecked Sendable {  // what changes is in the places, one for each loop
    typealias Work = @Sendable (ServedCall, Context) async throws -> [UInt8]

    let origin: CallOrigin
    let format: MessageFormat
    let telemetry: ServerTelemetry
    let work: Work
    private let runtime: ServerRuntime
    private let execution: AsyncExecution
    private let places: [Place]
    /// Whether nothing surrounds the handler.
    let isPlain: Bool
    var hasHooks: Bool { !runtime.hooks.isEmpty }

    init(
        _ endpoint: String, _ format: MessageFormat, _ execution: AsyncExecution,
        _ runtime: ServerRuntime, _ work: @escaping Work
    ) {
        self.origin = runtime.origin(of: endpoint)
        self.format = format
        self.telemetry = ServerTelemetry(service: runtime.service, endpoint: endpoint)
        self.work = work
        self.runtime = runtime
        self.execution = execution
        self.places = (0..<runtime.environment.loops.count).map { _ in Place() }
        self.isPlain =
            runtime.hooks.isEmpty && !telemetry.isEnabled && !runtime.environment.isSimulated
    }

    /// What is known of the endpoint on one loop.
    final class Place {
        var pace = EndpointPace()
        private var spare: [ServedCall] = []
        private static let spareMax = 64

        deinit {
            for call in spare { call.retire() }
        }

        func call() -> ServedCall? { spare.popLast() }

        /// Keeps a call that has been answered for the next one.
        func take(_ call: ServedCall) {
            if spare.count < Place.spareMax {
                spare.append(call)
            } else {
                call.retire()
            }
        }
    }

    func place(on loop: EventLoop) -> Place { places[loop.index] }

    func serve(_ call: ServerCall, _ request: borrowing IncomingRequest) {
        let served: ServedCall
        if let spare = place(on: call.loop).call() {
            served = spare
            served.reuse(of: self, for: request)
        } else {
            served = ServedCall(of: self, call, request)
        }
        served.begin(of: self, call, request)
    }

    /// Whether a call that has come on `loop` starts there; otherwise it starts on the process's
    /// pool.
    func startsInPlace(_ place: Place, on loop: EventLoop) -> Bool {
        // A simulation has one thread only.
        if runtime.environment.isSimulated { return true }
        return execution == .loop && !place.pace.isSlow(at: loop.now)
    }

    /// The handler with what surrounds it.
    func observed(
        _ observation: CallObservation, _ call: ServedCall, _ context: Context
    ) async throws -> [UInt8] {
        try await observation.answering(context) {
            try await self.runtime.surround(context) { try await self.work(call, $0) }
        }
    }
}
