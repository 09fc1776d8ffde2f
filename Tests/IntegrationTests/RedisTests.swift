import Foundation
import Micro
import Testing

@testable import MicroRedis

extension EndToEnd {
    /// Our client against Redis itself.
    @Suite struct RedisTests {
        private func withClient(
            _ arguments: [String] = [], _ body: (RedisServer, RedisClient) async throws -> Void
        ) async throws {
            try await RedisServer.run(arguments) { server in
                let client = RedisClient(server.options)
                try await body(server, client)
                await client.close()
            }
        }

        // MARK: Commands

        @Test func commandsAndPipelines() async throws {
            try await withClient { server, redis in
                #expect(try await redis.send(["PING"]) == .status("PONG"))
                #expect(try await redis.send(["GET", "a"]) == .null)
                let bytes = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
                try await redis.send(["SET", "a", RedisArgument(bytes)])
                #expect(try await redis.send(["GET", "a"]).bytes == bytes)
                let replies = try await redis.pipeline([
                    ["SET", "n", 5], ["INCR", "n"], ["INCR", "a"], ["LRANGE", "l", 0, -1],
                ])
                #expect(replies.count == 4)
                #expect(replies[1] == .integer(6))
                guard case .error = replies[2] else {
                    Issue.record("\(replies[2]) is no error")
                    return
                }
                #expect(replies[3] == .array([]))
                let error = await failure { try await redis.send(["LPUSH", "n", 1]) }
                #expect(error?.code == .failedPrecondition)
                #expect(error?.reason == RedisReason.wrongType)
                #expect(error?.id == "redis.lpush")
                #expect(await failure { try await redis.send(["NO"]) }?.code == .unimplemented)
                #expect(await failure { try await redis.send([]) }?.code == .invalidArgument)
                // On one connection, for all.
                #expect(
                    try await redis.send(["CLIENT", "LIST"]).string?.split(separator: "\n").count
                        == 1)
            }
        }

        @Test func manyTasksShareAConnection() async throws {
            try await withClient { _, redis in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<50 {
                        group.addTask {
                            for round in 0..<100 {
                                let value = RedisArgument("\(task)-\(round)")
                                let found = try await redis.send(["ECHO", value])
                                #expect(found.bytes == value.bytes)
                                try await redis.send(["INCR", "n"])
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await redis.send(["GET", "n"]).integer == 5000)
            }
        }

        @Test func transactionsAndScripts() async throws {
            try await withClient { server, redis in
                let done = try await redis.transaction([["INCR", "n"], ["INCR", "n"]])
                #expect(done == [.integer(1), .integer(2)])
                let error = await failure {
                    _ = try await redis.transaction([["INCR", "n"], ["NO", "n"]])
                }
                #expect(error?.code == .aborted)
                #expect(try await redis.send(["GET", "n"]).integer == 2)
                let script = RedisScript("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}")
                for expected in 3...4 {
                    let reply = try await redis.evaluate(script, keys: ["n"], arguments: ["x"])
                    #expect(reply.array?.last?.integer == Int64(expected))
                }
                try await redis.send(["SCRIPT", "FLUSH"])
                let again = try await redis.evaluate(script, keys: ["n"], arguments: ["x"])
                #expect(again.array?.last?.integer == 5)
                let wrong = await failure { _ = try await redis.evaluate(RedisScript("return x+")) }
                #expect(wrong != nil)
                // A watched key that changes.
                try await redis.withConnection { own in
                    try await own.send(["WATCH", "n"])
                    try await redis.send(["INCR", "n"])
                    #expect(try await own.transaction([["INCR", "n"]]) == nil)
                    #expect(try await own.transaction([["INCR", "n"]]) == [.integer(7)])
                }
            }
        }

        @Test func blockingCommandsHaveAConnection() async throws {
            try await withClient { _, redis in
                let popped = try await redis.withConnection { own in
                    async let item = own.send(Self.pop)
                    try await Task.sleep(for: .milliseconds(50))
                    try await redis.send(["RPUSH", "list", "x"])
                    return try await item
                }
                #expect(popped == .array([.bytes(Array("list".utf8)), .bytes([120])]))
                // Cancelling ends the wait at once.
                let started = ContinuousClock.now
                await #expect(throws: CancellationError.self) {
                    try await redis.withConnection { own in
                        try await withThrowingTaskGroup(of: RedisValue.self) { group in
                            group.addTask { try await own.send(Self.pop) }
                            try await Task.sleep(for: .milliseconds(50))
                            group.cancelAll()
                            _ = try await group.next()
                        }
                    }
                }
                #expect(ContinuousClock.now - started < .seconds(15))
            }
        }

        private static var pop: RedisCommand {
            var command = RedisCommand("BLPOP", "list", 20)
            command.blocking = .seconds(20)
            return command
        }

        @Test func messagesOfChannels() async throws {
            try await withClient { server, redis in
                let messages = try await redis.messages(of: ["a", "b"], matching: ["n.*"])
                for (channel, text) in [("a", "1"), ("c", "2"), ("n.x", "3"), ("b", "")] {
                    try await redis.send(["PUBLISH", RedisArgument(channel), RedisArgument(text)])
                }
                #expect(try await messages.next() == RedisMessage(channel: "a", payload: [0x31]))
                let second = try await messages.next()
                #expect(second?.channel == "n.x")
                #expect(second?.pattern == "n.*")
                #expect(try await messages.next()?.channel == "b")
                messages.close()
                #expect(try await messages.next() == nil)
                let lost = try await redis.messages(of: ["a"])
                try await server.kill()
                #expect(await failure { _ = try await lost.next() }?.code == .unavailable)
            }
        }

        // MARK: Connections

        @Test func passwordsAndDatabases() async throws {
            try await withClient(["--requirepass", "s3cret"]) { server, redis in
                let error = await failure { try await redis.send(["GET", "a"]) }
                #expect(error?.code == .unauthenticated)
                #expect(error?.reason == RedisReason.authenticationRequired)
                for (user, password) in [("", "wr0ng"), ("default", "wr0ng"), ("nobody", "s3cret")]
                {
                    var options = server.options
                    (options.user, options.password) = (user, password)
                    let other = RedisClient(options)
                    let error = await failure { try await other.send(["GET", "a"]) }
                    #expect(error?.code == .unauthenticated)
                    #expect(error.map { !"\($0)".contains(password) } == true)
                    await other.close()
                }
                let first = try RedisClient(url: "redis://:s3cret@\(server.endpoint)/0")
                let second = try RedisClient(url: "redis://default:s3cret@\(server.endpoint)/1")
                let socket = try RedisClient(url: "redis://:s3cret@\(server.socket)?db=1")
                try await first.send(["SET", "a", 1])
                #expect(try await second.send(["GET", "a"]).isNull)
                try await second.send(["SET", "a", 2])
                #expect(try await socket.send(["GET", "a"]).integer == 2)
                let none = try RedisClient(url: "redis://:s3cret@\(server.endpoint)/99")
                #expect(await failure { try await none.send(["PING"]) } != nil)
                for client in [first, second, socket, none] { await client.close() }
            }
        }

        @Test func encryptedConnections() async throws {
            let certificates = try await Certificates()
            try await certificates.issue(
                "redis", "DNS:redis.example,IP:127.0.0.1", usage: "serverAuth")
            let other = try await Certificates("other")
            try await RedisServer.run(certificates: certificates) { server in
                let url = "rediss://\(server.encrypted)?ca=\(certificates.ca)"
                let good = try RedisClient(url: url)
                #expect(try await good.send(["PING"]) == .status("PONG"))
                let bytes = [UInt8](repeating: 7, count: 3 << 20)
                try await good.send(["SET", "a", RedisArgument(bytes)])
                #expect(try await good.send(["GET", "a"]).bytes == bytes)
                let named = try RedisClient(url: url + "&server_name=redis.example")
                #expect(try await named.send(["PING"]) == .status("PONG"))
                let wrong = [
                    "rediss://\(server.encrypted)?ca=\(other.ca)",
                    url + "&server_name=else.example",
                    "rediss://\(server.endpoint)?ca=\(certificates.ca)",
                    "redis://\(server.encrypted)",
                ]
                for url in wrong {
                    var options = try RedisOptions(url: url)
                    options.attempts = 1
                    options.connectTimeout = .seconds(1)
                    let client = RedisClient(options)
                    let error = await failure { try await client.send(["PING"]) }
                    #expect(error?.code == .unavailable, "\(url): \(String(describing: error))")
                    await client.close()
                }
                await good.close()
                await named.close()
            }
        }

        @Test func nobodyListens() async throws {
            let address = try await Etcd.freeAddresses(1)[0]
            var options = RedisOptions(endpoint: address)
            options.attempts = 2
            let client = RedisClient(options)
            let error = await failure { try await client.send(["INCR", "a"]) }
            #expect(error?.code == .unavailable)
            #expect(error?.wasWritten == false)
            #expect(error?.detail.contains(address) == true)
            await client.close()
            #expect(await failure { try await client.send(["PING"]) }?.reason == RedisReason.closed)
        }

        /// A connection that ends inside of a reply, after each number of bytes.
        @Test func cutOffReplies() async throws {
            try await withClient { server, redis in
                let proxy = try CuttingProxy(to: server.endpoint, limit: 0)
                defer { proxy.close() }
                try await redis.send(["SET", "a", "a value"])
                let greeting = "+PONG\r\n".utf8.count
                let whole = greeting + "$7\r\na value\r\n:1\r\n".utf8.count
                for limit in 0...whole {
                    proxy.setLimit(limit)
                    var options = server.options
                    options.endpoint = proxy.endpoint
                    options.attempts = 2
                    let client = RedisClient(options)
                    var command = RedisCommand("INCR", "n-\(limit)")
                    command.isIdempotent = limit % 2 == 0
                    let replies = await failure {
                        let replies = try await client.pipeline([["GET", "a"], command])
                        #expect(replies == [.bytes(Array("a value".utf8)), .integer(1)])
                    }
                    if limit < whole {
                        #expect(
                            replies?.code == .unavailable,
                            "\(limit): \(String(describing: replies))")
                        // At the greeting's end it may be gone before the commands go out.
                        if limit != greeting {
                            #expect(replies?.wasWritten == (limit > greeting), "\(limit) bytes")
                        }
                    } else {
                        #expect(replies == nil)
                    }
                    await client.close()
                    let count = try await redis.send(["GET", command.arguments[1]]).integer ?? 0
                    let most = limit >= greeting && limit < whole && command.isIdempotent ? 2 : 1
                    #expect(count <= most, "\(limit) bytes")
                }
            }
        }

        /// Connections that break, and bytes that come in small pieces and late.
        @Test(arguments: [1, 2, 3] as [UInt64])
        func faults(seed: UInt64) async throws {
            try await withClient { server, redis in
                var faults = TransportFaults()
                faults.seed = seed
                faults.readBytes = 7
                faults.writeBytes = 50
                faults.delay = .milliseconds(1)
                faults.reset = 0.003
                faults.end = 0.003
                var options = server.options
                options.transports = [try TransportPlugin(faults: faults)]
                let client = RedisClient(options)
                let (done, unknown) = try await withThrowingTaskGroup(of: (Int, Int).self) {
                    group in
                    for task in 0..<8 {
                        group.addTask {
                            var (done, unknown) = (0, 0)
                            for round in 0..<50 {
                                do {
                                    try await client.send(["INCR", "n"])
                                    done += 1
                                    let text = RedisArgument("\(task) \(round)")
                                    let echo = try await client.send(["ECHO", text])
                                    #expect(echo.bytes == text.bytes)
                                } catch let error as MicroError {
                                    #expect(error.code == .unavailable, "\(error)")
                                    if error.wasWritten, error.id == "redis.incr" { unknown += 1 }
                                }
                            }
                            return (done, unknown)
                        }
                    }
                    return try await group.reduce((0, 0)) { ($0.0 + $1.0, $0.1 + $1.1) }
                }
                let count = Int(try await redis.send(["GET", "n"]).integer ?? 0)
                #expect(count >= done && count <= done + unknown, "\(done), \(unknown)")
                #expect(done > 100)
                await client.close()
            }
        }

        @Test func tooMuchWaits() async throws {
            try await RedisServer.run { server in
                var options = server.options
                options.commands = 10
                options.commandBytes = 4 << 20
                let redis = RedisClient(options)
                try await redis.send(["PING"])
                try await server.halt()
                try await withThrowingTaskGroup(of: Int64?.self) { group in
                    for _ in 0..<30 {
                        group.addTask {
                            do {
                                return try await redis.send(["INCR", "n"]).integer
                            } catch let error as MicroError {
                                #expect(error.code == .resourceExhausted)
                                #expect(error.reason == RedisReason.tooManyCommands)
                                return nil
                            }
                        }
                    }
                    // It stands still: these are those that were refused.
                    for _ in 0..<20 { #expect(try await group.next() == .some(nil)) }
                    server.wake()
                    let sum = try await group.reduce(0) { $0 + ($1 ?? 0) }
                    #expect(sum == 55)
                }
                await redis.close()
            }
        }

        @Test func limitsOfReplies() async throws {
            try await RedisServer.run { server in
                var options = server.options
                options.replyBytes = 1 << 20
                options.replyValues = 100
                let redis = RedisClient(options)
                try await redis.send([
                    "SET", "a", RedisArgument([UInt8](repeating: 1, count: 2 << 20)),
                ])
                let error = await failure { try await redis.send(["GET", "a"]) }
                #expect(error?.code == .resourceExhausted)
                #expect(error?.reason == RedisReason.replyTooLarge)
                let numbers = (0..<200).map { RedisArgument($0) }
                try await redis.send(RedisCommand(["RPUSH", "l"] + numbers))
                let many = await failure { try await redis.send(["LRANGE", "l", 0, -1]) }
                #expect(many?.reason == RedisReason.replyTooLarge)
                #expect(try await redis.send(["LRANGE", "l", 0, 98]).array?.count == 99)
                await redis.close()
            }
        }

        @Test func closingFailsWhatWaits() async throws {
            try await withClient { server, redis in
                try await redis.send(["PING"])
                try await server.halt()
                async let error = failure { try await redis.send(["GET", "a"]) }
                try await Task.sleep(for: .milliseconds(50))
                await redis.close()
                #expect(await error?.reason == RedisReason.closed)
                server.wake()
            }
        }

        @Test func aServerThatComesBack() async throws {
            try await withClient(["--appendonly", "yes", "--appendfsync", "always"]) {
                server, redis in
                try await redis.send(["SET", "a", 1])
                try await server.kill()
                let error = await failure { try await redis.send(["INCR", "a"]) }
                #expect(error?.code == .unavailable)
                try await server.restart()
                let value = try await until("it is back") { () -> Int64? in
                    try? await redis.send(["INCR", "a"]).integer
                }
                #expect(value == 2 || (value == 3 && error?.wasWritten == true))
            }
        }

        @Test func aServerThatStandsStill() async throws {
            try await RedisServer.run { server in
                var options = server.options
                options.timeout = .milliseconds(300)
                options.stallTimeout = .milliseconds(600)
                let redis = RedisClient(options)
                try await redis.send(["PING"])
                try await server.halt()
                let error = await failure { try await redis.send(["INCR", "a"]) }
                #expect(error?.code == .deadlineExceeded)
                #expect(error?.wasWritten == true)
                let other = await failure {
                    while true {
                        try await redis.send(RedisCommand("INCR", "a").within(.seconds(30)))
                    }
                }
                #expect(other?.code == .unavailable || other?.code == .deadlineExceeded)
                server.wake()
                _ = try await until("it goes on") { try? await redis.send(["PING"]) }
                await redis.close()
            }
        }
    }
}

extension RedisCommand {
    fileprivate func within(_ timeout: Duration) -> RedisCommand {
        var command = self
        command.timeout = timeout
        return command
    }
}
