import Micro
import MicroProtobuf
import ProtobufNames
import Testing

/// What is generated for names that mean something to Swift, to the library, or twice.
struct GeneratedNamesTests {
    /// One type for two services, of which it serves each.
    private struct Both: ProtobufNames.NamesService, ProtobufNames.NothingServiceService {
        typealias Request = ProtobufNames.Client
        typealias Reply = ProtobufNames.Context
        typealias Inner = ProtobufNames.Outbound.Inner

        func get(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }

        func initMethod(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func selfMethod(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func type(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func `default`(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func `in`(
            _ incoming: Micro.Inbound<Request>, _ context: Micro.Context
        ) async throws -> Reply {
            for try await _ in incoming {}
            return Reply()
        }
        func clientMethod(
            _ request: Request, _ context: Micro.Context, _ out: Micro.Outbound<Inner>
        ) async throws { try await out.send(Inner()) }
        func optionsMethod(
            _ incoming: Micro.Inbound<Request>, _ context: Micro.Context,
            _ out: Micro.Outbound<ProtobufNames.Endpoint>
        ) async throws { for try await _ in incoming { try await out.send(.init()) } }
        func serviceMethod(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func endpointsMethod(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func httpGet(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func getV2(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        func snakeCase2x(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        // swift-format-ignore: AlwaysUseLowerCamelCase
        func GetIt(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
        // swift-format-ignore: AlwaysUseLowerCamelCase
        func get_it(_ request: Request, _ context: Micro.Context) -> Reply { Reply() }
    }

    @Test func allAreServedAndCalled() async throws {
        try await serving { server in
            server.serve(Both() as any ProtobufNames.NamesService)
            server.serve(Both() as any ProtobufNames.NothingServiceService)
        } _: { client, options in
            let names = NamesServiceClient(client, service: "shop", options: options)
            let calls = [
                names.initMethod, names.selfMethod, names.type, names.default, names.serviceMethod,
                names.endpointsMethod, names.httpGet, names.getV2, names.snakeCase2x, names.GetIt,
                names.get_it,
            ]
            for call in calls { _ = try await call(.init(), nil) }
            _ = try await names.in { out in try await out.send(.init()) }
            var count = 0
            for try await _ in try await names.clientMethod(.init()) { count += 1 }
            #expect(count == 1)
            try await names.optionsMethod { out, replies in
                try await out.send(.init())
                try await out.finish()
                var count = 0
                for try await _ in replies { count += 1 }
                #expect(count == 1)
            }
            let other = NothingServiceClient(client, service: "shop", options: options)
            _ = try await other.get(.init())
        }
    }
}
