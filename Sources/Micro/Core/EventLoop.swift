internal import CMicroCore
internal import Synchronization

/// One loop of the core as a Swift executor: a task that prefers it runs on its thread, between the
/// events of the connections that live there.
///
/// Safe to use from any thread. The loop's thread is started by ``EventLoops``.
final class EventLoop: TaskExecutor, @unchecked Sendable {  // what changes is the loop thread's
    let pointer: CorePointer
    let index: Int
    private let simulation: SimulationToken?
    /// Who sleeps on this loop, by the number of the timer.
    let sleepers = Mutex<[UInt64: Sleeper]>([:])
    private let phase = Atomic<UInt8>(Phase.running)
    /// Blocking work that has not come back. Loop thread.
    private let offloaded = Atomic<Int>(0)
    /// What becomes of the job that a task gives next. Loop thread.
    private var starting = Starting.nothing

    private enum Starting {
        case nothing
        case expected
        case caught(UnownedJob)
    }

    private enum Phase {
        static let running: UInt8 = 0
        /// Nothing new is taken; what is here is brought to its end.
        static let ending: UInt8 = 1
        static let ended: UInt8 = 2
    }

    var raw: OpaquePointer { pointer.raw }

    /// A loop on libuv, or a simulated one when a seed is given.
    convenience init(index: Int, simulationSeed: UInt64? = nil) throws(MicroError) {
        var created: OpaquePointer?
        if let simulationSeed {
            try check(
                mcore_loop_create_simulated(simulationSeed, &created), "loop", "create a loop")
        } else {
            try check(mcore_loop_create(&created), "loop", "create an event loop")
        }
        try self.init(created, index: index, of: simulationSeed == nil ? nil : SimulationToken())
    }

    /// Another loop of a simulation.
    convenience init(beside loop: EventLoop, seed: UInt64) throws(MicroError) {
        var created: OpaquePointer?
        try check(mcore_loop_create_beside(loop.raw, seed, &created), "loop", "create a loop")
        try self.init(created, index: 0, of: loop.simulation)
    }

    private init(
        _ created: OpaquePointer?, index: Int, of simulation: SimulationToken?
    ) throws(MicroError) {
        guard let created else { throw MicroError("loop", .internal, "the core made no loop") }
        self.pointer = CorePointer(raw: created)
        self.index = index
        self.simulation = simulation
        mcore_loop_set_user(created, Unmanaged.passUnretained(self).toOpaque())
    }

    /// What the loops of one simulation have in common; nil: it is real.
    final class SimulationToken: Sendable {
        /// Tells it from every other one, also of other processes.
        let id = "simulation \(UInt64.random(in: 0 ... .max))"
    }

    /// What stands for the run of the machine in a simulation; nil: the loop is real.
    var simulationID: String? { simulation?.id }

    /// Whether what runs now does so on the thread of this loop's simulation.
    var isCurrentSimulation: Bool {
        guard let simulation, let current = EventLoop.current else { return false }
        return current.simulation === simulation
    }

    deinit { mcore_loop_destroy(raw) }

    /// The loop that runs on the calling thread.
    static var current: EventLoop? {
        guard let raw = mcore_loop_current(), let user = mcore_loop_user(raw) else { return nil }
        return Unmanaged<EventLoop>.fromOpaque(user).takeUnretainedValue()
    }

    var isCurrent: Bool { mcore_loop_current() == raw }

    /// Nanoseconds on the loop's clock.
    var now: UInt64 { mcore_loop_now_ns(raw) }

    /// Jobs that wait; approximate.
    var backlog: Int { mcore_loop_backlog(raw) }

    /// How long the present turn lasts, in nanoseconds; approximate.
    var turnAge: UInt64 { mcore_loop_turn_age_ns(raw) }

    // MARK: The end

    /// Whether new work is taken.
    var isRunning: Bool { phase.load(ordering: .acquiring) == Phase.running }

    /// Runs the loop on the calling thread until `mcore_loop_stop`. Nobody is left waiting then:
    /// jobs that were taken are run, sleeps end with an error, blocking work is waited for, and
    /// tasks go on elsewhere.
    func runUntilStopped() {
        _ = mcore_loop_run(raw)
        phase.store(Phase.ending, ordering: .sequentiallyConsistent)
        for sleeper in takeSleepers() { sleeper.loopHasEnded() }
        while offloaded.load(ordering: .relaxed) > 0 || backlog > 0 {
            // For one turn, or until blocking work comes back.
            if offloaded.load(ordering: .relaxed) == 0 { mcore_loop_stop(raw) }
            _ = mcore_loop_run(raw)
        }
        end()
    }

    /// Refuses all that comes from now on. For a loop that does not run any more.
    func end() {
        phase.store(Phase.ended, ordering: .sequentiallyConsistent)
        runLateJobs()
    }

    /// A job may have been taken by a thread that saw the loop run still. The last to come runs it.
    private func runLateJobs() {
        while backlog > 0 {
            mcore_loop_stop(raw)
            guard mcore_loop_run(raw) != MCORE_EBUSY else { return }
        }
    }

    private func takeSleepers() -> [Sleeper] {
        sleepers.withLock { sleepers in
            defer { sleepers = [:] }
            return sleepers.sorted { $0.key < $1.key }.map(\.value)
        }
    }

    // MARK: Jobs

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent, case .expected = starting {
            starting = .caught(job)
            return
        }
        // An UnownedJob is one pointer, so that a job crosses the core without a box.
        let arg = unsafeBitCast(job, to: UnsafeMutableRawPointer.self)
        // A loop that has ended, or has no memory for its queue, must not lose a task.
        if !isRunning || !add(runJob, arg) { globalConcurrentExecutor.enqueue(job) }
    }

    /// Starts a task on this loop and runs it as far as it gets without waiting, before this
    /// returns. On the loop.
    ///
    /// A task that is queued instead finds its data cold, and as many of them hold memory at once
    /// as requests came in one turn.
    func startHere(_ body: @escaping @Sendable () async -> Void) -> SpawnedTask {
        starting = .expected
        let task = SpawnedTask(on: self, body)
        runCaught()
        return task
    }

    /// Goes on with a task of this loop, as far as it gets, before this returns. On the loop.
    /// A task that prefers another executor goes on there.
    func resumeHere<Value>(_ task: Suspension<Value>, returning value: Value) {
        starting = .expected
        task.resume(returning: value)
        runCaught()
    }

    private func runCaught() {
        let caught = starting
        starting = .nothing
        if case .caught(let job) = caught { job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    /// Runs `body` on the loop: in this turn when called there, otherwise as soon as it gets to it.
    ///
    /// - Returns: false when the loop has ended; `body` is then never run.
    @discardableResult
    func execute(_ body: @escaping @Sendable () -> Void) -> Bool {
        guard isRunning || isCurrent else { return false }
        let box = Unmanaged.passRetained(JobBox(body)).toOpaque()
        let isTaken = add(runBox, box)
        if !isTaken { Unmanaged<JobBox>.fromOpaque(box).release() }
        return isTaken
    }

    private func add(_ job: mcore_job, _ arg: UnsafeMutableRawPointer) -> Bool {
        if isCurrent { return mcore_loop_enqueue(raw, job, arg) >= 0 }
        guard mcore_loop_post(raw, job, arg) >= 0 else { return false }
        // Either the loop's last look at its queue is after the post, or its end is seen here.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if phase.load(ordering: .relaxed) == Phase.ended { runLateJobs() }
        return true
    }

    /// Runs `body` now when called on the loop, and on the loop later otherwise.
    @discardableResult
    func executeNow(_ body: @escaping @Sendable () -> Void) -> Bool {
        guard isCurrent else { return execute(body) }
        body()
        return true
    }

    /// Runs `body` on the loop and returns what it returns.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            let accepted = execute {
                continuation.resume(with: Result { try body() })
            }
            if !accepted {
                continuation.resume(
                    throwing: MicroError("loop", .unavailable, "the event loop has ended"))
            }
        }
    }

    /// Runs `work` on a worker thread (inline on a simulated loop) and returns what it returns.
    func offload<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            let item = OffloadedWork(work, continuation, loop: self)
            let accepted = executeNow {
                let box = Unmanaged.passRetained(item as OffloadedItem).toOpaque()
                let status = mcore_loop_submit(self.raw, runOffloaded, finishOffloaded, box)
                if status >= 0 {
                    self.offloaded.add(1, ordering: .relaxed)
                } else {
                    Unmanaged<OffloadedItem>.fromOpaque(box).release()
                    item.fail(
                        MicroError("loop", CoreStatus(raw: status).code, "start blocking work"))
                }
            }
            if !accepted {
                item.fail(MicroError("loop", .unavailable, "the event loop has ended"))
            }
        }
    }

    fileprivate func offloadedWorkCameBack() {
        offloaded.subtract(1, ordering: .relaxed)
        if !isRunning { mcore_loop_stop(raw) }
    }
}

private final class JobBox: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private class OffloadedItem: @unchecked Sendable {  // handed from thread to thread, one at a time
    let loop: EventLoop
    init(loop: EventLoop) { self.loop = loop }
    func work() {}
    func finish() {}
}

private final class OffloadedWork<T: Sendable>: OffloadedItem, @unchecked Sendable {  // ditto
    private let body: @Sendable () throws -> T
    private let continuation: CheckedContinuation<T, any Error>
    private var result: Result<T, any Error>?

    init(
        _ body: @escaping @Sendable () throws -> T,
        _ continuation: CheckedContinuation<T, any Error>, loop: EventLoop
    ) {
        self.body = body
        self.continuation = continuation
        super.init(loop: loop)
    }

    override func work() { result = Result { try body() } }

    override func finish() {
        if let result { continuation.resume(with: result) }
    }

    func fail(_ error: MicroError) { continuation.resume(throwing: error) }
}

private let runJob: mcore_job = { arg in
    guard let arg, let loop = EventLoop.current else { return }
    let job = unsafeBitCast(arg, to: UnownedJob.self)
    job.runSynchronously(on: loop.asUnownedTaskExecutor())
}

private let runBox: mcore_job = { arg in
    guard let arg else { return }
    Unmanaged<JobBox>.fromOpaque(arg).takeRetainedValue().body()
}

private let runOffloaded: mcore_job = { arg in
    guard let arg else { return }
    Unmanaged<OffloadedItem>.fromOpaque(arg).takeUnretainedValue().work()
}

private let finishOffloaded: mcore_job = { arg in
    guard let arg else { return }
    let item = Unmanaged<OffloadedItem>.fromOpaque(arg).takeRetainedValue()
    item.loop.offloadedWorkCameBack()
    item.finish()
}
