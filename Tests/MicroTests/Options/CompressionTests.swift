import MicroZstd
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct CompressionTests {
    private static let all: [Compression] = [.gzip(from: 0), .deflate(from: 0), .zstd(from: 0)]

    @Test func smallMessagesGoAsTheyAre() {
        for compression in [Compression.gzip(from: 3), .deflate(from: 3), .zstd(from: 3)] {
            #expect(compression.flags(for: [1, 2]) == .plain)
            #expect(compression.flags(for: [1, 2, 3]) == compression.flagsOfAny)
            #expect(compression.flagsOfAny != .plain)
        }
        #expect(Compression.off.flags(for: [1, 2, 3]) == .plain)
        #expect(Compression.off.flagsOfAny == .plain)
        #expect(Compression.gzip(from: -1) == .gzip(from: 0))
    }

    @Test func codingsAreDifferent() {
        #expect(Compression.gzip() != .deflate())
        #expect(Compression.gzip() != .gzip(from: 1))
        #expect(Set(Self.all).count == 3)
    }

    @Test func codingsHaveNames() {
        #expect(Compression.coding("gzip", from: 7) == .gzip(from: 7))
        #expect(Compression.coding("Deflate") == .deflate())
        #expect(Compression.coding("zstd") == .zstd())
        for unknown in ["br", "", "identity", "*"] {
            #expect(Compression.coding(unknown) == nil, "\(unknown)")
        }
    }

    /// Calls and streams in each coding, both ways.
    @Test(arguments: Place.allCases, all)
    func messagesGoThere(place: Place, compression: Compression) async throws {
        try await withService(place) { service in
            service.handle("Unary") { (text: String, context) in
                context.compression = compression
                return context.requestWasCompressed ? "compressed \(text.count)" : "plain"
            }
            service.exchange("Echo") {
                (texts: Inbound<String>, context, out: Outbound<String>) in
                context.compression = compression
                for try await text in texts {
                    #expect(texts.wasCompressed)
                    try await out.send(text)
                }
            }
        } _: { client in
            let long = String(repeating: "a", count: 100_000)
            let options = CallOptions(compression: compression)
            let response = try await client.response(
                "s", "Unary", long, as: String.self, options: options)
            #expect(response.reply == "compressed 100000")
            #expect(response.wasCompressed)
            try await client.exchange("s", "Echo", options: options) {
                (out: Outbound<String>, replies: Inbound<String>) in
                var iterator = replies.makeAsyncIterator()
                for text in ["", "short", long] {
                    try await out.send(text)
                    #expect(try await iterator.next() == text)
                    #expect(replies.wasCompressed)
                }
            }
        }
    }

    /// The limit counts what a message becomes, in each coding.
    @Test(arguments: all)
    func bombsEndAtTheLimit(compression: Compression) async throws {
        try await withService(.simulation) { service in
            service.handle("Count") { (text: String, context) in text.count }
        } _: { client in
            let options = CallOptions(compression: compression)
            let bomb = String(repeating: "a", count: 8 << 20)
            let error = try await microError {
                _ = try await client.call("s", "Count", bomb, as: Int.self, options: options)
            }
            #expect(error.code == .resourceExhausted)
        }
    }
}
