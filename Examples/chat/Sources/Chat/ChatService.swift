import Micro

/// The room as a service: start it once, and join it from as many terminals as you like.
func makeChatService() -> MicroService {
    let room = Room()
    let service = MicroService(name: "chat", version: "1.0.0")
    service.exchange(.join) { incoming, context, out in
        let name = context.metadata["name"] ?? "somebody"
        let (id, lines) = await room.enter(name)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await line in lines { try await out.send(line) }
                }
                for try await line in incoming {
                    await room.say(ChatLine(from: name, text: line.text))
                }
                // The member has hung up: what is left to be told goes out before the answer ends.
                await room.leave(id, name)
                try await group.waitForAll()
            }
        } catch {
            await room.leave(id, name)
            throw error
        }
    }
    return service
}
