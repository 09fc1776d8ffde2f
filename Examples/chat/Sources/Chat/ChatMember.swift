import Foundation
import Micro

/// Somebody at a terminal: what is typed goes to the room, what the room says is printed.
struct ChatMember {
    let name: String
    /// "127.0.0.1:4711"; nil: found by its name.
    let address: String?

    func join() async throws {
        let client = Client()
        let options = CallOptions(metadata: ["name": name], address: address, waitsForReady: true)
        try await client.exchange(.join, options: options) { out, lines in
            // Not waited for: when the room closes, nobody has to press Enter to learn of it.
            let typing = Task {
                for await text in typedLines() {
                    try await out.send(ChatLine(from: name, text: text))
                }
                try await out.finish()
            }
            defer { typing.cancel() }
            for try await line in lines { say("\(line.from): \(line.text)") }
        }
        await client.close()
    }

    /// The lines of standard input. Reading blocks, so it has a thread of its own.
    private func typedLines() -> AsyncStream<String> {
        AsyncStream { lines in
            Thread.detachNewThread {
                while let line = readLine() { lines.yield(line) }
                lines.finish()
            }
        }
    }
}
