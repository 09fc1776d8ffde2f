import ArgumentParser
import Foundation
import Micro
import MicroProtobuf
import Synchronization

/// Calls `echo.Echo` for a while, and prints what it took as a line of JSON.
struct Call: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Call echo.Echo, and print figures as a line of JSON.")

    @Option
    var port: Int
    @Option
    var codec = MessageCodec.protobuf
    @Option(help: "unary calls, or chat: a stream on which each message waits for its answer.")
    var kind = CallKind.unary
    @Option(help: "Clients, each with a connection of its own.")
    var connections = 8
    @Option(help: "Calls in flight on each connection.")
    var streams = 32
    @Option(help: "What is measured.")
    var seconds = 2.0
    @Option(help: "What goes before it.")
    var warmup = 1.0
    @Option(help: "Bytes of a message.")
    var size = 32

    enum CallKind: String, ExpressibleByArgument, CaseIterable { case unary, chat }

    func validate() throws {
        guard connections > 0, streams > 0, seconds > 0, warmup >= 0 else {
            throw ValidationError(
                "--connections, --streams and --seconds must be above 0, --warmup not below it")
        }
        guard size >= EchoMessage.bytesMin else {
            throw ValidationError("--size must be at least \(EchoMessage.bytesMin)")
        }
    }

    func run() async throws {
        let loops = try EventLoops(count: 1)
        let load = Load(warmup: warmup, seconds: seconds)
        try await Environment(loops: loops).bind {
            switch codec {
            case .bytes:
                await run(load, loops, CodableCoding<[UInt8]>(Codecs()), EchoMessage.bytes(size))
            case .protobuf:
                let note = try Echo_Note(serializedBytes: EchoMessage.bytes(size))
                await run(load, loops, ProtobufCoding<Echo_Note>(), note)
            case .json:
                let note = try Echo_Note(serializedBytes: EchoMessage.bytes(size))
                let plain = PlainNote(id: note.id, text: note.text)
                await run(load, loops, CodableCoding<PlainNote>(Codecs()), plain)
            }
        }
        let figures = load.figures
        print(figures.json)
        if figures.failures > 0 {
            for failure in figures.failureTexts {
                FileHandle.standardError.write(Data("echo: \(failure)\n".utf8))
            }
            throw ExitCode.failure
        }
    }

    private func run<Coding: MessageReading & MessageWriting>(
        _ load: Load, _ loops: EventLoops, _ coding: Coding, _ message: Coding.Message
    ) async where Coding.Message: Equatable {
        let address = "tcp://127.0.0.1:\(port)"
        let clients = (0..<connections).map { _ in
            Client(resolver: StaticResolver(addresses: ["echo": [address]]))
        }
        await withTaskGroup(of: Void.self) { group in
            for client in clients {
                for _ in 0..<streams {
                    group.addTask(executorPreference: loops.executor) {
                        switch kind {
                        case .unary: await load.calls(client, coding, message)
                        case .chat: await load.chat(client, coding, message)
                        }
                    }
                }
            }
        }
        for client in clients { await client.close(grace: .zero) }
    }
}

/// The message of the suite: an `echo.Note` of a given length.
enum EchoMessage {
    static let bytesMin = 8

    /// id 12345, and as many "x" as fit.
    static func bytes(_ size: Int) -> [UInt8] {
        var count = size - 5
        while encoded(count).count > size { count -= 1 }
        return encoded(count)
    }

    private static func encoded(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = [0x08, 0xB9, 0x60, 0x12]
        var rest = count
        while rest > 0x7F {
            bytes.append(UInt8(rest & 0x7F | 0x80))
            rest >>= 7
        }
        return bytes + [UInt8(rest)] + [UInt8](repeating: UInt8(ascii: "x"), count: count)
    }
}
