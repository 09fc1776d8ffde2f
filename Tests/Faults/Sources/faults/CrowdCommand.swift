import ArgumentParser
import Foundation
import Micro

/// Many clients, each with a connection of its own, that call one address all the time.
/// Prints "calling" when each was answered once.
struct CrowdCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crowd", abstract: "Call from many clients, until SIGTERM.")

    @Option(help: "How many.") var clients = 500
    @Option(help: "Whom they call.") var address: String
    @Option(help: "Between two calls of a client, in milliseconds.") var pause = 500

    func run() async throws {
        let loops = try EventLoops(count: 1)
        let environment = Environment(loops: loops)
        await withDiscardingTaskGroup { group in
            await withTaskGroup { first in
                for _ in 0..<clients {
                    let client = Client(
                        resolver: StaticResolver(addresses: [:]), environment: environment)
                    first.addTask { await call(client) }
                    group.addTask { await callForEver(client) }
                }
            }
            say("calling")
        }
    }

    private func call(_ client: Client) async {
        let options = CallOptions(timeout: .seconds(1), address: address)
        _ = try? await client.call("work", "Work.Do", 0, as: Int.self, options: options)
    }

    private func callForEver(_ client: Client) async {
        while !Task.isCancelled {
            await call(client)
            try? await Task.sleep(for: .milliseconds(pause))
        }
    }
}
