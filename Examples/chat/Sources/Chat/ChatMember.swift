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
                while let text = try await readTypedLine() {
                    try await out.send(ChatLine(from: name, text: text))
                }
                try await out.finish()
            }
            defer { typing.cancel() }
            for try await line in lines { say("\(line.from): \(line.text)") }
        }
        await client.close()
    }

    /// The next line of standard input; nil at its end. Reading blocks, so it has its own thread.
    private func readTypedLine() async throws -> String? {
        try await Environment.current.offload { readLine() }
    }
}
