internal import CMicroCore
internal import Synchronization

/// A group of event loops: one thread each, on which connections live and handlers run, and one
/// control loop for heartbeats, watches and everything else that must not wait behind handlers.
///
/// A program needs none of its own: the process has one group, started on first use, which does not
/// keep the process alive. Make one to choose the number of loops.
public final class EventLoops: Sendable {
    let workers: [EventLoop]
    let control: EventLoop
    let isSimulated: Bool
    private let threads: Mutex<[LoopThread]>
    private let turn = Atomic<Int>(0)

    /// The number of loops that carry connections.
    public var count: Int { workers.count }

    /// Starts a group.
    ///
    /// - Parameter count: How many loops carry connections; 0 means one for each processor that the
    ///   process may use (affinity and the cgroup's quota). At most 1,024.
    /// - Throws: ``MicroError`` when the system has no more threads or file descriptors.
    public convenience init(count: Int = 0) throws {
        guard (0...1024).contains(count) else {
            throw MicroError.invalid(
                "loops", "count is \(count): it must be 0 to 1024", at: "count")
        }
        let wanted = count == 0 ? Int(mcore_cpu_count()) : count
        var workers: [EventLoop] = []
        for index in 0..<wanted { workers.append(try EventLoop(index: index)) }
        try self.init(workers: workers, control: EventLoop(index: -1))
        try start()
    }

    private init(workers: [EventLoop], control: EventLoop) throws {
        self.workers = workers
        self.control = control
        self.isSimulated = false
        self.threads = Mutex([])
    }

    /// A group of one simulated loop, which is its control loop too. Its owner runs it.
    init(simulated loop: EventLoop) {
        self.workers = [loop]
        self.control = loop
        self.isSimulated = true
        self.threads = Mutex([])
    }

    deinit { stop() }

    /// The group of the process.
    static let process: EventLoops = {
        do {
            return try EventLoops()
        } catch {
            // Nothing of Micro can run without a loop, and there is nobody to tell: this is first
            // use, in whatever the program was doing.
            fatalError("Micro cannot start its event loops: \(error)")
        }
    }()

    private func start() throws {
        for loop in workers { try startThread(of: loop, named: "micro-loop-\(loop.index)") }
        try startThread(of: control, named: "micro-control")
    }

    private func startThread(of loop: EventLoop, named name: String) throws {
        let thread = try LoopThread(named: name) { loop.runUntilStopped() }
        threads.withLock { $0.append(thread) }
    }

    /// Ends the threads after their present turn and waits for them, unless it is called on one.
    /// Servers and clients of the group must be closed first. Idempotent.
    ///
    /// No task is lost: blocking work is waited for, who sleeps gets an error, and tasks go on in
    /// the process's pool.
    public func stop() {
        let ended = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        guard !ended.isEmpty else { return }
        for loop in workers + [control] { mcore_loop_stop(loop.raw) }
        for thread in ended { thread.join() }
    }

    /// A loop that carries connections, each time the next one, as an executor:
    /// `Task(executorPreference: loops.executor) { … }`.
    ///
    /// What a task that prefers it calls goes out on the loop's own connections, and the answer
    /// resumes it there: no call changes threads. It must not block. Any thread; a task whose loops
    /// have been stopped goes on in the process's pool.
    public var executor: any TaskExecutor { next }

    /// The loop of the calling thread if it carries connections of this group, else the next in
    /// turn.
    var preferred: EventLoop {
        if let current = EventLoop.current, owns(current), current !== control || isSimulated {
            return current
        }
        return next
    }

    /// The loops in turn.
    var next: EventLoop {
        let ticket = turn.wrappingAdd(1, ordering: .relaxed).oldValue
        return workers[Int(UInt(bitPattern: ticket) % UInt(workers.count))]
    }

    /// Where a task that begins on `loop` should run: there, unless it is behind.
    func executor(startingOn loop: EventLoop) -> EventLoop {
        guard workers.count > 1 else { return loop }
        guard loop.backlog > EventLoops.backlogBound || loop.turnAge > EventLoops.turnBound else {
            return loop
        }
        return workers.min { $0.backlog < $1.backlog } ?? loop
    }

    private static let backlogBound = 256
    private static let turnBound: UInt64 = 200_000  // 200 µs

    func owns(_ loop: EventLoop) -> Bool {
        loop.index >= 0
            ? loop.index < workers.count && workers[loop.index] === loop : loop === control
    }
}
