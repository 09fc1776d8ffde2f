public import Micro

/// What every ``Transport`` does, as checks that an implementation runs in its own tests.
///
/// ```swift
/// @Test func conforms() async throws {
///     try await withSimulation(seed: 1) {
///         try await TransportConformance(address: "memory://a") { SocketTransport() }.run()
///     }
/// }
/// ```
/// Each check gets a transport and an address of its own.
public struct TransportConformance: Sendable {
    private let make: @Sendable () async throws -> any Transport
    private let address: @Sendable () -> String
    private let patience: Duration
    private let moment: Duration

    /// A suite for one implementation.
    ///
    /// - Parameters:
    ///   - address: Where nobody listens, and a listener may; asked once for each check.
    ///   - moment: How long to wait for something that must not happen.
    ///   - patience: How long to wait for something before it counts as missing.
    ///   - make: Makes a transport.
    public init(
        address: @escaping @autoclosure @Sendable () -> String,
        moment: Duration = .milliseconds(50), patience: Duration = .seconds(60),
        make: @escaping @Sendable () async throws -> any Transport
    ) {
        self.make = make
        self.address = address
        self.moment = moment
        self.patience = patience
    }

    /// The checks that failed, and how.
    public typealias Failure = ConformanceFailure

    /// The names of the checks, in the order they are run.
    public static var checks: [String] { all.map(\.name) }

    /// Runs all checks, or those named.
    ///
    /// - Throws: ``Failure`` with every check that failed; `CancellationError`.
    public func run(_ names: [String]? = nil) async throws {
        try await runChecks(Self.all, only: names, name: { $0.name }) { check in
            let transport = try await make()
            let body = check.body(self)
            let address = address()
            let isDone: Void? = try await within(patience, .current) {
                try await body(transport, address)
            }
            try require(isDone != nil, "not done after \(patience)")
        }
    }

    private struct Check: Sendable {
        var name: String
        var body:
            @Sendable (TransportConformance) ->
                @Sendable (any Transport, String) async throws
                -> Void
    }

    private static let all: [Check] = [
        Check(name: "messages arrive as they were sent") { $0.messages },
        Check(name: "messages keep their order") { $0.order },
        Check(name: "each message is received once") { $0.sharing },
        Check(name: "a slow reader stops the sender") { $0.backpressure },
        Check(name: "what was sent is delivered before the end") { $0.ending },
        Check(name: "an abort breaks the connection") { $0.aborting },
        Check(name: "waiting ends in time") { $0.timeouts },
        Check(name: "who is cancelled takes no message along") { $0.cancelling },
        Check(name: "closing ends who waits") { $0.closing },
        Check(name: "a socket that nobody holds closes itself") { $0.dropping },
        Check(name: "what is wrong is refused") { $0.refusals },
        Check(name: "addresses can be dialled") { $0.addresses },
        Check(name: "an address is bound once") { $0.binding },
        Check(name: "where nobody listens nobody connects") { $0.absence },
        Check(name: "a listener takes many") { $0.crowd },
        Check(name: "sockets outlive their listener") { $0.outliving },
        Check(name: "who was not accepted is closed with the listener") { $0.unaccepted },
    ]

    // MARK: Tools

    /// Runs `body`, which must throw a `MicroError` with this reason.
    private func expectError(
        _ reasons: String..., of what: String, _ body: () async throws -> Void
    ) async throws {
        let error = try await refusal(what, body)
        try require(
            reasons.contains(error.reason), "\(what): threw \(error), expected \(reasons)")
    }

    private func text(_ text: String) -> TransportMessage {
        TransportMessage(body: Array(text.utf8))
    }

    private func expectText(_ wanted: String, of socket: any TransportSocket) async throws {
        let message = try await socket.receive()
        try expect(wanted, message.map { String(decoding: $0.body, as: UTF8.self) }, "the message")
    }

    private struct Pair: Sendable {
        var listener: any TransportListener
        var dialled: any TransportSocket
        var accepted: any TransportSocket
    }

    private func pair(_ transport: any Transport, _ address: String) async throws -> Pair {
        let listener = try await transport.listen(address)
        async let dialled = transport.dial(listener.address)
        guard let accepted = try await listener.accept() else {
            throw Wrong("nothing to accept")
        }
        return Pair(listener: listener, dialled: try await dialled, accepted: accepted)
    }

    // MARK: Messages

    private func messages(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        var header: Metadata = ["topic": "a b", "content-type": "text/plain", "empty": ""]
        header[binary: "raw-bin"] = [0, 10, 255, 32]
        header.append("topic", "again")
        let many = Metadata((1...100).map { .init(name: "name-\($0)", value: .text("\($0)")) })
        let messages = [
            TransportMessage(), TransportMessage(header: header), text("hello"),
            TransportMessage(header: many, body: [0]),
            TransportMessage(header: header, body: (0..<1_000_000).map { UInt8($0 % 251) }),
            TransportMessage(),
        ]
        for (from, to) in [(pair.dialled, pair.accepted), (pair.accepted, pair.dialled)] {
            for message in messages {
                async let sending: Void = from.send(message)
                let received = try await to.receive()
                try await sending
                try require(
                    received == message,
                    "\(message.header), \(message.body.count) bytes came as "
                        + "\(received.map { "\($0.header), \($0.body.count) bytes" } ?? "the end")")
            }
        }
    }

    private func order(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (from, to) in [(pair.dialled, pair.accepted), (pair.accepted, pair.dialled)] {
                group.addTask {
                    for number in 0..<500 { try await from.send(text("\(number)")) }
                }
                group.addTask {
                    for number in 0..<500 { try await expectText("\(number)", of: to) }
                }
            }
            try await group.waitForAll()
        }
    }

    private func sharing(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        let numbers = try await withThrowingTaskGroup(of: [String].self) { group in
            for first in 0..<4 {
                group.addTask {
                    for number in 0..<50 {
                        try await pair.dialled.send(text("\(first * 50 + number)"))
                    }
                    return []
                }
                group.addTask {
                    var numbers: [String] = []
                    for _ in 0..<50 {
                        let message = try await pair.accepted.receive()
                        numbers.append(String(decoding: message?.body ?? [], as: UTF8.self))
                    }
                    return numbers
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        try expect(Array(0..<200), numbers.compactMap(Int.init).sorted(), "the messages")
    }

    private func backpressure(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        let body = [UInt8](repeating: 7, count: 100_000)
        var sent = 0
        do {
            while sent < 5000 {
                try await pair.dialled.send(TransportMessage(body: body), timeout: moment)
                sent += 1
            }
            throw Wrong("\(sent) messages of \(body.count) bytes were taken that nobody read")
        } catch let error as MicroError where error.reason == "TIMEOUT" {
        }
        let count = sent
        async let more: Void = pair.dialled.send(text("more"))
        for number in 0..<count {
            let message = try await pair.accepted.receive()
            try expect(body.count, message?.body.count, "bytes of message \(number)")
        }
        try await expectText("more", of: pair.accepted)
        try await more
    }

    // MARK: The end

    private func ending(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        for number in 0..<10 { try await pair.dialled.send(text("\(number)")) }
        async let closing: Void = pair.dialled.close()
        for number in 0..<10 { try await expectText("\(number)", of: pair.accepted) }
        for _ in 0..<3 {
            try require(try await pair.accepted.receive() == nil, "a message behind the end")
        }
        await closing
        var rest = 0
        for try await _ in pair.accepted.messages { rest += 1 }
        try expect(0, rest, "messages behind the end")
        await pair.accepted.close()
    }

    private func aborting(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        pair.dialled.abort()
        pair.dialled.abort()
        try await expectError("DISCONNECTED", of: "receiving from who aborted") {
            _ = try await pair.accepted.receive()
        }
        try await expectError("DISCONNECTED", of: "sending to who aborted") {
            try await pair.accepted.send(text("late"))
        }
        try await expectError("CLOSED", of: "receiving after an abort") {
            _ = try await pair.dialled.receive()
        }
        await pair.dialled.close()
        await pair.accepted.close()
    }

    private func timeouts(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        let clock = Environment.current.clock
        for timeout in [moment, .zero] {
            let start = clock.now
            try await expectError("TIMEOUT", of: "receive") {
                _ = try await pair.accepted.receive(timeout: timeout)
            }
            try await expectError("TIMEOUT", of: "accept") {
                _ = try await pair.listener.accept(timeout: timeout)
            }
            let waited = start.duration(to: clock.now)
            try require(waited >= timeout * 2, "waited \(waited), not \(timeout) twice")
        }
        // A message that comes too late is not lost.
        try await pair.dialled.send(text("late"))
        try await expectText("late", of: pair.accepted)
    }

    private func cancelling(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        let environment = Environment.current
        for _ in 0..<3 {
            let result = Outcome()
            let waiting = environment.spawn {
                do {
                    _ = try await pair.accepted.receive()
                } catch is CancellationError {
                    await result.set("cancelled")
                } catch {
                    await result.set("\(error)")
                }
            }
            try await environment.clock.sleep(for: .milliseconds(2))
            waiting.cancel()
            await waiting.wait()
            try expect("cancelled", await result.text, "a receive that was cancelled")
        }
        try await pair.dialled.send(text("first"))
        try await pair.dialled.send(text("second"))
        try await expectText("first", of: pair.accepted)
        try await expectText("second", of: pair.accepted)
    }

    private actor Outcome {
        var text = ""
        func set(_ text: String) { self.text = text }
    }

    private func closing(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await expectError("CLOSED", of: "receiving while it is closed") {
                    _ = try await pair.accepted.receive()
                }
            }
            group.addTask {
                try require(
                    try await pair.listener.accept() == nil, "a closed listener has accepted")
            }
            try await Environment.current.clock.sleep(for: .milliseconds(2))
            await pair.accepted.close()
            await pair.accepted.close()
            await pair.listener.close()
            await pair.listener.close()
            try await group.waitForAll()
        }
        try await expectError("CLOSED", of: "sending after close") {
            try await pair.accepted.send(text("late"))
        }
        try require(try await pair.listener.accept() == nil, "a closed listener has accepted")
        try require(try await pair.dialled.receive() == nil, "no end")
    }

    private func dropping(_ transport: any Transport, _ address: String) async throws {
        let listener = try await transport.listen(address)
        try await sendAndForget(transport, listener.address)
        guard let accepted = try await listener.accept() else {
            throw Wrong("nothing to accept")
        }
        try await expectText("last", of: accepted)
        try require(try await accepted.receive() == nil, "no end")
    }

    private func sendAndForget(_ transport: any Transport, _ address: String) async throws {
        let socket = try await transport.dial(address)
        try await socket.send(text("last"))
    }

    private func refusals(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        let headers: [Metadata] = [
            ["two words": "a"], ["": "a"], [":path": "a"], ["a": "b\nc"], ["a": " b"],
        ]
        for header in headers {
            try await expectError("INVALID", of: "sending \(header)") {
                try await pair.dialled.send(TransportMessage(header: header))
            }
        }
        try await pair.dialled.send(text("fine"))
        try await expectText("fine", of: pair.accepted)
        try await expectError("INVALID", of: "listening on nonsense") {
            _ = try await transport.listen("nonsense://a")
        }
        try await expectError("INVALID", of: "dialling nonsense") {
            _ = try await transport.dial("nonsense://a")
        }
        try await expectError("INVALID", of: "dialling without time") {
            _ = try await transport.dial(address, timeout: .zero)
        }
    }

    // MARK: Listeners

    private func addresses(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        try require(pair.listener.address.contains("://"), "no scheme: \(pair.listener.address)")
        try expect(pair.listener.address, pair.dialled.remote, "remote of the dialled socket")
        try expect(pair.listener.address, pair.accepted.local, "local of the accepted socket")
        try require(pair.accepted.remote.contains("://"), "no scheme: \(pair.accepted.remote)")
    }

    private func binding(_ transport: any Transport, _ address: String) async throws {
        let first = try await transport.listen(address)
        try await expectError("ADDRESS_IN_USE", of: "listening twice") {
            _ = try await transport.listen(first.address)
        }
        await first.close()
        let second = try await transport.listen(first.address)
        await second.close()
    }

    private func absence(_ transport: any Transport, _ address: String) async throws {
        let listener = try await transport.listen(address)
        await listener.close()
        try await expectError("NOBODY_LISTENS", of: "dialling a closed listener") {
            _ = try await transport.dial(listener.address)
        }
    }

    private func crowd(_ transport: any Transport, _ address: String) async throws {
        let listener = try await transport.listen(address)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for try await socket in listener.sockets {
                    for try await message in socket.messages { try await socket.send(message) }
                    await socket.close()
                }
            }
            for number in 0..<20 {
                group.addTask {
                    let socket = try await transport.dial(listener.address)
                    try await socket.send(text("\(number)"))
                    try await expectText("\(number)", of: socket)
                    await socket.close()
                }
            }
            for _ in 0..<20 { try await group.next() }
            await listener.close()
            try await group.waitForAll()
        }
    }

    private func outliving(_ transport: any Transport, _ address: String) async throws {
        let pair = try await pair(transport, address)
        await pair.listener.close()
        try await pair.dialled.send(text("on"))
        try await expectText("on", of: pair.accepted)
        try await pair.accepted.send(text("back"))
        try await expectText("back", of: pair.dialled)
        await pair.dialled.close()
        try require(try await pair.accepted.receive() == nil, "no end")
    }

    private func unaccepted(_ transport: any Transport, _ address: String) async throws {
        let listener = try await transport.listen(address)
        let socket = try await transport.dial(listener.address)
        await listener.close()
        do {
            try require(try await socket.receive() == nil, "a message")
        } catch let error as MicroError {
            try expect("DISCONNECTED", error.reason, "the end of who was not accepted")
        }
        await socket.close()
    }
}
