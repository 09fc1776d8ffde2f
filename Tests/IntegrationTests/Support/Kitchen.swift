import Logging
import Micro
import Synchronization

/// A service in this process, for peers in others.
final class Kitchen: Sendable {
    struct Item: Codable, Sendable, Hashable {
        var text: String
        var number: Int?
    }

    struct Order: Codable, Sendable {
        var code: UInt32
        var detail: String
    }

    struct Wait: Codable, Sendable {
        var milliseconds: Int
    }

    /// What a handler saw.
    struct Seen: Codable, Sendable {
        var texts: [String]
        var bytes: [UInt8]
        var remainingMilliseconds: Int
        var requestID: String
    }

    private final class Counts: Sendable {
        let slowStarted = Atomic<Int>(0)
        let slowCancelled = Atomic<Int>(0)
    }

    let service: MicroService
    private let counts = Counts()

    /// How many calls of Slow have begun, and how many were cancelled.
    var slowStarted: Int { counts.slowStarted.load(ordering: .relaxed) }
    var slowCancelled: Int { counts.slowCancelled.load(ordering: .relaxed) }

    /// "127.0.0.1:port"
    var address: String {
        service.addresses.first.map { String($0.dropFirst("tcp://".count)) } ?? "not started"
    }

    private init(_ change: (inout ServiceOptions) -> Void) {
        var options = ServiceOptions()
        options.register = MemoryRegister()
        options.server.addresses = ["127.0.0.1:0"]
        options.drainDelay = .zero
        options.gracePeriod = .seconds(2)
        options.logger.logLevel = .critical
        change(&options)
        service = MicroService(name: "kitchen", version: "1", options: options)
        addHandlers()
    }

    /// Serves while `body` runs.
    static func open(
        _ change: (inout ServiceOptions) -> Void = { _ in },
        _ body: (Kitchen) async throws -> Void
    ) async throws {
        let kitchen = Kitchen(change)
        try await kitchen.service.start()
        do {
            try await body(kitchen)
        } catch {
            try await kitchen.service.stop()
            throw error
        }
        try await kitchen.service.stop()
    }

    private func addHandlers() {
        service.stream("Kitchen.Count") { (upTo: Int, context, out: Outbound<Item>) in
            guard upTo >= 0 else { throw MicroError.invalid("kitchen.count", "less than nothing") }
            for n in 0..<upTo {
                guard n < 500 else {
                    throw MicroError("kitchen.count", .outOfRange, "that is enough")
                }
                try await out.send(Item(text: "\(n)"))
            }
        }
        service.collect("Kitchen.Sum") { (numbers: Inbound<Int>, context) in
            var sum = 0
            for try await n in numbers { sum = sum &+ n }
            return sum
        }
        service.handle("Kitchen.Echo") { (item: Item, context) in item }
        service.handle("Kitchen.Bytes") { (bytes: [UInt8], context) in bytes }
        service.handle("Kitchen.Fail") { (order: Order, context) throws -> Item in
            throw MicroError(
                "kitchen.fail", MicroError.Code(rpc: order.code), order.detail,
                reason: "BURNT", metadata: ["dish": "soufflé"])
        }
        service.handle("Kitchen.Slow") { [counts] (wait: Wait, context) async throws -> Item in
            counts.slowStarted.wrappingAdd(1, ordering: .relaxed)
            do {
                try await context.clock.sleep(for: .milliseconds(wait.milliseconds))
            } catch {
                counts.slowCancelled.wrappingAdd(1, ordering: .relaxed)
                throw error
            }
            return Item(text: "done")
        }
        service.handle("Kitchen.See") { (item: Item, context) async throws -> Seen in
            context.replyMetadata.append("x-one", "1")
            context.replyMetadata.append("x-two", "a")
            context.replyMetadata.append("x-two", "b")
            context.replyMetadata.append("x-raw-bin", bytes: [0, 255, 10])
            return Seen(
                texts: context.metadata.values("x-text"),
                bytes: context.metadata[binary: "x-bytes-bin"] ?? [],
                remainingMilliseconds: Int((context.timeRemaining ?? .zero) / .milliseconds(1)),
                requestID: context.requestID)
        }
    }
}

/// Calls a service of this process all the time, as somebody whom the misbehaviour of others should
/// not concern.
final class HonestCaller: Sendable {
    private let client: Client
    private let task: Task<(answered: Int, failures: [String]), Never>

    init(_ address: String) {
        let resolver = StaticResolver(addresses: ["kitchen": ["tcp://\(address)"]])
        let client = Client(resolver: resolver)
        self.client = client
        self.task = Task {
            var (answered, failures) = (0, [String]())
            while !Task.isCancelled || answered == 0 {
                let item = Kitchen.Item(text: "honest", number: answered)
                do {
                    let reply: Kitchen.Item = try await client.call(
                        "kitchen", "Kitchen.Echo", item, options: .init(retry: .never))
                    if reply == item { answered += 1 } else { failures.append("\(reply)") }
                } catch is CancellationError {
                    break
                } catch let error as MicroError where error.code == .cancelled {
                    break
                } catch {
                    failures.append("\(error)")
                }
                if !failures.isEmpty { break }
                try? await Task.sleep(for: .milliseconds(1))
            }
            return (answered, failures)
        }
    }

    /// Stops and says how it went.
    func finish() async -> (answered: Int, failures: [String]) {
        task.cancel()
        let outcome = await task.value
        await client.close()
        return outcome
    }
}
