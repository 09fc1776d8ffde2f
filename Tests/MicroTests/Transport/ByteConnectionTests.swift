import Logging
import MicroTesting
import Synchronization
import Testing

@testable import Micro

/// Connections of bytes in a simulation; the peers are message sockets, which begin with a preface.
@Suite(.timeLimit(.minutes(5)))
struct ByteConnectionTests {
    /// Notes what it is told.
    private final class Witness: ByteConnectionObserver {
        struct Facts {
            var opens = 0
            var bytes: [UInt8] = []
            var ends = 0
            var writables = 0
            var closed: [MicroError?] = []
        }

        private let facts = Mutex(Facts())
        private let bell = WakeUp()

        func opened() { note { $0.opens += 1 } }
        func received(_ bytes: RawSpan) {
            let copy = bytes.withUnsafeBytes { Array($0) }
            note { $0.bytes += copy }
        }
        func receivedEnd(isTruncated: Bool) { note { $0.ends += 1 } }
        func becameWritable() { note { $0.writables += 1 } }
        func ended(_ error: MicroError?) { note { $0.closed.append(error) } }

        private func note(_ change: (inout Facts) -> Void) {
            facts.withLock { change(&$0) }
            bell.ring()
        }

        func until(_ condition: (Facts) -> Bool) async throws -> Facts {
            while true {
                let facts = facts.withLock { $0 }
                if condition(facts) { return facts }
                try Task.checkCancellation()
                await bell.wait()
            }
        }
    }

    private static let preface: [UInt8] = [0xf8] + Array("micro\n".utf8) + [1]

    private func dialer(_ options: ByteConnectionOptions = ByteConnectionOptions()) -> ByteDialer {
        ByteDialer(
            options: options, environment: .current, logger: Logger(label: "test"))
    }

    @Test func bytesAndAnOrderlyEnd() async throws {
        try await withSimulation(seed: 1) {
            let transport = SocketTransport()
            let listener = try await transport.listen("memory://a")
            let witness = Witness()
            let connection = try await dialer().open("memory://a", observer: witness)
            // Before it is open, and in two pieces.
            #expect(connection.send(Array(Self.preface.prefix(3))))
            #expect(connection.send(Array(Self.preface.dropFirst(3))))
            let facts = try await witness.until { $0.bytes.count >= Self.preface.count }
            #expect(facts.opens == 1)
            #expect(facts.bytes == Self.preface)
            let socket = try #require(try await listener.accept())
            connection.close(isAbort: false)
            connection.close(isAbort: false)
            let last = try await witness.until { !$0.closed.isEmpty }
            #expect(last.closed == [nil])
            socket.abort()
            // When it has ended, nothing happens any more.
            #expect(connection.send([1]))
            connection.setReading(true)
            connection.close()
            await listener.close()
            #expect(try await witness.until { _ in true }.closed.count == 1)
        }
    }

    @Test func peersThatEnd() async throws {
        try await withSimulation(seed: 2) {
            let transport = SocketTransport()
            let listener = try await transport.listen("memory://a")
            let witness = Witness()
            let connection = try await dialer().open("memory://a", observer: witness)
            #expect(connection.send(Array("GET / HTTP/1.1\r\n\r\n".utf8)))
            let facts = try await witness.until { $0.ends + $0.closed.count > 0 }
            #expect(facts.opens == 1)
            connection.close()
            let closed = try await witness.until { !$0.closed.isEmpty }.closed
            #expect(closed.count == 1)
            await listener.close()
        }
    }

    @Test func connectionsThatDoNotComeAbout() async throws {
        try await withSimulation(seed: 3) {
            let nobody = Witness()
            _ = try await dialer().open("memory://nobody", observer: nobody)
            let error = try await nobody.until { !$0.closed.isEmpty }.closed[0]
            #expect(error?.code == .unavailable)
            #expect(error?.reason == "NOBODY_LISTENS")
            #expect(error?.detail.contains("memory://nobody") == true)
            let unknown = Witness()
            _ = try await dialer().open("quic://a", observer: unknown)
            let refusal = try await unknown.until { !$0.closed.isEmpty }
            #expect(refusal.closed[0]?.code == .invalidArgument)
            #expect(refusal.opens == 0)
            let early = Witness()
            let connection = try await dialer().open("memory://nobody", observer: early)
            connection.close()
            #expect(try await early.until { !$0.closed.isEmpty }.closed.count == 1)
        }
    }

    @Test func aPeerThatIsStopped() async throws {
        try await withSimulation(seed: 4) {
            let transport = SocketTransport()
            let listener = try await transport.listen("memory://a")
            var options = ByteConnectionOptions()
            options.unsentBytes = 10_000
            options.closeTimeout = .seconds(3)
            let witness = Witness()
            let connection = try await dialer(options).open("memory://a", observer: witness)
            _ = connection.send(Self.preface)
            _ = try await witness.until { $0.opens == 1 }
            // Nobody takes the messages that this begins: a large body that is never whole.
            let block = [UInt8](repeating: 0, count: 4096)
            var sent = 0
            while connection.send(block), sent < 64 << 20 {
                sent += block.count
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                if try await witness.until({ _ in true }).ends > 0 { break }
            }
            #expect(sent < 64 << 20)
            // What it does not take does not hold up the close.
            let clock = Environment.current.clock
            let before = clock.now
            connection.close(isAbort: false)
            let facts = try await witness.until { !$0.closed.isEmpty }
            #expect(facts.closed.count == 1)
            #expect(before.duration(to: clock.now) <= .seconds(4), "\(facts.closed)")
            await listener.close()
        }
    }
}
