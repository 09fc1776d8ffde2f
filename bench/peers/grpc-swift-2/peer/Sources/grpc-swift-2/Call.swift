import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import Synchronization

typealias Client = GRPCClient<HTTP2ClientTransport.Posix>

/// What is sent, how, and how a reply is checked.
struct Caller<Serializer: MessageSerializer, Deserializer: MessageDeserializer>: Sendable
where Serializer.Message: Sendable, Serializer.Message == Deserializer.Message {
    typealias Message = Serializer.Message

    let run: Run
    let message: Message
    let serializer: Serializer
    let deserializer: Deserializer
    let isEcho: @Sendable (Message) -> Bool

    private var options: CallOptions {
        var options = CallOptions.defaults
        options.waitForReady = false
        return options
    }

    /// One call after the other.
    func unary(_ client: Client) async {
        let request = ClientRequest(message: message)
        let options = options
        var start = nanoseconds()
        while true {
            let reply = try? await client.unary(
                request: request, descriptor: Echo_Echo.Method.Unary.descriptor,
                serializer: serializer, deserializer: deserializer, options: options
            ) { try $0.message }
            let end = nanoseconds()
            let right = reply.map(isEcho) ?? false
            guard run.replied(start: start, end: end, right: right) else { return }
            start = end
        }
    }

    /// One message after the other, on one stream. The replies are handed to the side that sends,
    /// so that a message needs one task and not two.
    func chat(_ client: Client) async {
        let replies = AsyncStream.makeStream(of: RPCAsyncSequence<Message, any Error>.self)
        let ended = AsyncStream.makeStream(of: (any Error).self)
        let request = StreamingClientRequest(of: Message.self) { writer in
            do {
                try await exchange(replies.stream, writer)
            } catch {
                ended.continuation.yield(error)
            }
            ended.continuation.finish()
        }
        do {
            try await client.bidirectionalStreaming(
                request: request, descriptor: Echo_Echo.Method.Chat.descriptor,
                serializer: serializer, deserializer: deserializer, options: options
            ) { response in
                replies.continuation.yield(response.messages)
                replies.continuation.finish()
                for await error in ended.stream { throw error }
            }
        } catch {
            run.failed()
        }
    }

    private func exchange(
        _ replies: AsyncStream<RPCAsyncSequence<Message, any Error>>, _ writer: RPCWriter<Message>
    ) async throws {
        var start = nanoseconds()
        try await writer.write(message)
        var arrived = replies.makeAsyncIterator()
        guard var messages = await arrived.next()?.makeAsyncIterator() else {
            throw RPCError(code: .unavailable, message: "No response.")
        }
        while true {
            guard let reply = try await messages.next(), isEcho(reply) else {
                throw RPCError(code: .unknown, message: "No echo.")
            }
            let end = nanoseconds()
            guard run.replied(start: start, end: end, right: true) else { return }
            start = end
            try await writer.write(message)
        }
    }
}

/// A note whose encoding has exactly so many bytes.
private func note(size: Int) throws -> Echo_Note {
    for overhead in 5...8 where overhead < size {
        let note = Echo_Note.with {
            $0.id = 12345
            $0.text = String(repeating: "x", count: size - overhead)
        }
        let bytes: [UInt8] = try note.serializedBytes()
        if bytes.count == size { return note }
    }
    refuse("--size \(size): no message has this size")
}

/// Whether nothing failed.
func call(_ options: Options) async throws -> Bool {
    if options.port == 0 { refuse("--port is missing") }
    let run = Run()
    let sent = try note(size: options.size)
    switch options.codec {
    case .protobuf:
        let caller = Caller(
            run: run, message: sent, serializer: ProtobufSerializer(),
            deserializer: ProtobufDeserializer()
        ) { reply in
            reply.id == sent.id && reply.text.utf8.count == sent.text.utf8.count
                && reply.text.utf8.prefix(8).elementsEqual(sent.text.utf8.prefix(8))
        }
        return try await measure(options, caller)
    case .bytes:
        let bytes: [UInt8] = try sent.serializedBytes()
        let caller = Caller(
            run: run, message: GRPCNIOTransportBytes(bytes), serializer: BytesSerializer(),
            deserializer: BytesDeserializer()
        ) { reply in
            reply.count == bytes.count
                && reply.withUnsafeBytes { $0.prefix(8).elementsEqual(bytes.prefix(8)) }
        }
        return try await measure(options, caller)
    }
}

private func measure(_ options: Options, _ caller: Caller<some Any, some Any>) async throws -> Bool
{
    let run = caller.run
    let clients = try (0..<options.connections).map { _ in
        Client(
            transport: try .http2NIOPosix(
                target: .ipv4(address: "127.0.0.1", port: options.port),
                transportSecurity: .plaintext))
    }
    return try await withThrowingTaskGroup(of: Void.self) { group in
        for client in clients { group.addTask { try await client.runConnections() } }
        async let called: Void = load(options, caller, clients)

        try await Task.sleep(for: .seconds(options.warmup))
        let (start, before) = (nanoseconds(), processorTime())
        run.measuring.store(true, ordering: .relaxed)
        try await Task.sleep(for: .seconds(options.seconds))
        run.measuring.store(false, ordering: .relaxed)
        let (end, after) = (nanoseconds(), processorTime())

        run.stopping.store(true, ordering: .relaxed)
        await called
        for client in clients { client.beginGracefulShutdown() }
        try await group.waitForAll()
        return run.report(cpu: after - before, seconds: Double(end - start) / 1e9)
    }
}

private func load(
    _ options: Options, _ caller: Caller<some Any, some Any>, _ clients: [Client]
) async {
    await withDiscardingTaskGroup { group in
        for client in clients {
            for _ in 0..<options.streams {
                group.addTask {
                    switch options.kind {
                    case .unary: await caller.unary(client)
                    case .chat: await caller.chat(client)
                    }
                }
            }
        }
    }
}
