import Synchronization
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(10)))
struct HealthTests {
    private let endpoint = "grpc.health.v1.Health"

    private func check(_ client: Client, _ service: String) async throws -> ServingStatus {
        let response: Response<HealthCheckResponse> = try await client.response(
            "s", "\(endpoint)/Check", HealthCheckRequest(service: service),
            writing: WireCoding<HealthCheckRequest>(),
            reading: WireCoding<HealthCheckResponse>())
        return response.reply.status
    }

    private func expect(
        _ status: ServingStatus, of service: String, _ client: Client,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let told = try await check(client, service)
        #expect(told == status, "\(service)", sourceLocation: sourceLocation)
    }

    private func watch(_ client: Client, _ service: String) async throws -> Statuses {
        Statuses(
            try await client.stream(
                "s", "\(endpoint)/Watch", HealthCheckRequest(service: service),
                writing: WireCoding<HealthCheckRequest>(),
                reading: WireCoding<HealthCheckResponse>()))
    }

    private final class Statuses {
        private var iterator: Inbound<HealthCheckResponse>.AsyncIterator

        init(_ replies: Inbound<HealthCheckResponse>) { iterator = replies.makeAsyncIterator() }

        func next() async throws -> ServingStatus? { try await iterator.next()?.status }
    }

    private func addEndpoints(_ service: MicroService) {
        service.handle("Hello") { (_: Empty, context) in Empty() }
        service.handle("Greeter.Hello") { (_: Empty, context) in Empty() }
        service.handle("shop.Cart/Add") { (_: Empty, context) in Empty() }
    }

    // MARK: Check and List

    @Test(arguments: Place.allCases)
    func everyNameOfAServiceHasAStatus(place: Place) async throws {
        try await withService(place, addEndpoints) { client, service in
            for name in ["", "s", "s.Greeter", "Greeter", "shop.Cart"] {
                try await expect(.serving, of: name, client)
                #expect(service.health.status(of: name) == .serving)
            }
            let error = await expectError(.notFound) { _ = try await check(client, "other") }
            #expect(error?.detail.contains("\"other\"") == true)
            #expect(service.health.status(of: "other") == nil)

            service.health.set("s.Greeter", .notServing)
            service.health.set("other", .serving)
            try await expect(.notServing, of: "s.Greeter", client)
            try await expect(.serving, of: "other", client)
            try await expect(.serving, of: "", client)
            service.health.set("", .notServing)
            try await expect(.notServing, of: "", client)
            try await expect(.serving, of: "s", client)
        }
    }

    @Test func allAtOnceAndInJSON() async throws {
        try await withService(.simulation, addEndpoints) { client, service in
            service.health.set("shop.Cart", .notServing)
            let list: [String: [String: [String: String]]] = try await client.call(
                "s", "\(endpoint)/List", Empty())
            let statuses = list["statuses"]?.mapValues { $0["status"] ?? "" }
            let known = [
                "": "SERVING", "s": "SERVING", "s.Greeter": "SERVING", "Greeter": "SERVING",
                "shop.Cart": "NOT_SERVING",
            ]
            #expect(statuses == known)
            let one: [String: String] = try await client.call(
                "s", "\(endpoint)/Check", ["service": "shop.Cart"])
            #expect(one == ["status": "NOT_SERVING"])
            let whole: [String: String] = try await client.call(
                "s", "\(endpoint)/Check", [String: String]())
            #expect(whole == ["status": "SERVING"])
            let response: Response<HealthListResponse> = try await client.response(
                "s", "\(endpoint)/List", HealthListRequest(),
                writing: WireCoding<HealthListRequest>(),
                reading: WireCoding<HealthListResponse>())
            #expect(response.reply.statuses.mapValues(\.status.rawValue) == known)
        }
    }

    @Test func itFollowsReadiness() async throws {
        try await withSimulation {
            let register = ScriptedRegister(.down)
            let service = makeService("s", in: register)
            #expect(service.health.status() == .notServing)
            try await running(service) {
                let client = makeClient(of: "s", at: "memory://s")
                try await expect(.notServing, of: "", client)
                try await expect(.notServing, of: "s", client)
                let statuses = try await watch(client, "s")
                #expect(try await statuses.next() == .notServing)
                register.become(.fine)
                #expect(try await statuses.next() == .serving)
                register.become(.down)
                #expect(try await statuses.next() == .notServing)
                register.become(.fine)
                await client.close()
            }
            #expect(service.health.status() == .notServing)
        }
    }

    // MARK: Watch

    @Test(arguments: Place.allCases)
    func changesAreTold(place: Place) async throws {
        try await withService(place, addEndpoints) { client, service in
            let statuses = try await watch(client, "new")
            #expect(try await statuses.next() == .serviceUnknown)
            service.health.set("new", .notServing)
            #expect(try await statuses.next() == .notServing)
            service.health.set("new", .notServing)
            service.health.set("s", .notServing)
            service.health.set("new", .serving)
            #expect(try await statuses.next() == .serving)
        }
    }

    @Test(arguments: Place.allCases)
    func theEndIsToldAndDoesNotWaitForWatchers(place: Place) async throws {
        try await place.run {
            let log = LogJournal()
            let service = makeService("s", at: place.address("s"), log: log) {
                $0.gracePeriod = .seconds(3600)
            }
            try await service.start()
            let client = makeClient(of: "s", at: try #require(service.addresses.first))
            let statuses = try await watch(client, "")
            #expect(try await statuses.next() == .serving)
            let stopping = Environment.current.spawn {
                do { try await service.stop() } catch { Issue.record(error) }
            }
            #expect(try await statuses.next() == .notServing)
            #expect(try await statuses.next() == nil)
            await stopping.wait()
            #expect(!log.contains("cut off"))
            await client.close()
        }
    }

    @Test func aServerAloneIsServingUntilItDrains() async throws {
        try await withSimulation {
            let server = Server(name: "s", options: .patient(at: "memory://s"))
            #expect(server.health.status() == .notServing)
            try await server.start()
            let client = makeClient(of: "s", at: "memory://s")
            let statuses = try await watch(client, "s")
            #expect(try await statuses.next() == .serving)
            let drained = Environment.current.spawn {
                do { #expect(try await server.drain(grace: .seconds(3600)) == 0) } catch {
                    Issue.record(error)
                }
            }
            #expect(try await statuses.next() == .notServing)
            #expect(try await statuses.next() == nil)
            await drained.wait()
            #expect(server.health.status() == .notServing)
            await client.close()
        }
    }

    @Test func aSlowWatcherGetsTheLast() async throws {
        let health = Health(watchesMax: 1)
        health.follow { true }
        let watch = try health.watch("")
        for _ in 0..<100 {
            health.set("", .notServing)
            health.set("", .serving)
        }
        health.set("", .notServing)
        health.end()
        var told: [ServingStatus] = []
        for try await status in watch.changes { told.append(status) }
        #expect(told == [.notServing])
        let late = try await microError { _ = try health.watch("") }
        #expect(late.code == .resourceExhausted)
        health.close(watch)
        var after: [ServingStatus] = []
        for try await status in try health.watch("").changes { after.append(status) }
        #expect(after == [.notServing])
    }

    @Test func tooManyWatchersAreRefused() async throws {
        try await withSimulation {
            let service = makeService("s") { $0.server.maxHealthWatchers = 1 }
            try await running(service) {
                let client = service.client
                let first = Mutex<Inbound<HealthCheckResponse>?>(nil)
                let replies = try await client.stream(
                    "s", "\(endpoint)/Watch", HealthCheckRequest(service: ""),
                    writing: WireCoding<HealthCheckRequest>(),
                    reading: WireCoding<HealthCheckResponse>())
                first.withLock { $0 = replies }
                for try await _ in replies { break }
                let error = await expectError(.resourceExhausted) {
                    _ = try await watch(client, "").next()
                }
                #expect(error?.detail.contains("maxHealthWatchers") == true)
                try await expect(.serving, of: "", client)
            }
        }
    }

    @Test func aNameTooLongIsRefused() async throws {
        try await withService(.simulation, addEndpoints) { client in
            await expectError(.invalidArgument) {
                _ = try await watch(client, String(repeating: "x", count: 1025)).next()
            }
        }
    }

    // MARK: As a part of the server

    @Test func hooksSeeIt() async throws {
        let seen = Journal<String>()
        try await withService(.simulation) { service in
            service.hook { context, next in
                seen.write(context.endpoint)
                try await next(context)
            }
        } _: { client in
            try await expect(.serving, of: "", client)
            let told = try await watch(client, "").next()
            #expect(told == .serving)
            #expect(seen.entries == ["\(endpoint)/Check", "\(endpoint)/Watch"])
        }
    }

    @Test func itIsNoEndpointOfTheProgram() async throws {
        try await withService(.simulation, addEndpoints) { client, service in
            let nodes = try await service.register.lookup("s", namespace: "micro")
            #expect(
                nodes.flatMap(\.methods).map(\.name).sorted() == [
                    "Greeter.Hello", "Hello", "shop.Cart/Add",
                ])
        }
    }

    @Test func itCanBeSwitchedOff() async throws {
        try await withSimulation {
            let service = makeService("s") { $0.server.health = false }
            try await running(service) {
                await expectError(.unimplemented) { _ = try await check(service.client, "") }
            }
        }
    }

    @Test func anotherHealthNeedsItToBeOff() async throws {
        try await withSimulation {
            for isOn in [true, false] {
                var options = ServerOptions.patient(at: "memory://s")
                options.health = isOn
                let server = Server(name: "s", options: options)
                server.handle("grpc.health.v1.Health/Check") { (_: Empty, context) in Empty() }
                #expect(server.problems().count == (isOn ? 1 : 0))
                #expect(server.problems().allSatisfy { $0.contains("options.health") })
            }
        }
    }
}
