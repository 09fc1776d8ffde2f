import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(2))) struct RouteTableTests {
    private let near = Route("shop", address: "tcp://a:1")
    private let far = Route("shop", address: "tcp://b:1", metric: 20)

    @Test func theFingerprintIsFNV1() {
        // FNV-1 of the six texts; "" is the offset basis of the reference, "foobar" its test value.
        var route = Route("", address: "", network: "", link: "")
        #expect(route.fingerprint == 0xCBF2_9CE4_8422_2325)
        (route.service, route.address, route.link) = ("fo", "ob", "ar")
        #expect(route.fingerprint == 0x340D_8765_A4DD_A9C2)
        var other = route
        (other.metric, other.zone, other.version, other.metadata) = (7, "z", "2", ["a": "b"])
        #expect(other.fingerprint == route.fingerprint)
        other.router = "r"
        #expect(other.fingerprint != route.fingerprint)
    }

    @Test func createUpdateDelete() throws {
        let table = try RouteTable()
        try table.create(near)
        var changed = near
        changed.metric = 3
        let twice = #expect(throws: MicroError.self) { try table.create(changed) }
        #expect(twice?.code == .alreadyExists)
        #expect(twice?.detail == "the route of shop to tcp://a:1 is in the table already")
        try table.update(changed)
        #expect(table.list() == [changed])
        let revision = table.revision
        try table.update(changed)
        #expect(table.revision == revision)
        try table.update(far)
        #expect(table.list() == [changed, far])
        try table.delete(near)  // whatever its metric
        #expect(table.list() == [far])
        let gone = #expect(throws: MicroError.self) { try table.delete(near) }
        #expect(gone?.code == .notFound)
    }

    @Test func theNearestComesFirst() throws {
        let routes = [
            far, Route("shop", address: "tcp://c:1", zone: "eu"),
            Route("shop", address: "tcp://d:1", zone: "us"), Route("cart", address: "tcp://e:1"),
            Route(address: "tcp://any:1", gateway: "tls://gate:443", router: "r", link: "wan"),
        ]
        let table = try RouteTable(routes)
        func find(_ query: RouteTable.Query) -> [String] { table.query(query).map(\.destination) }
        #expect(find(.init(service: "shop")) == ["tcp://c:1", "tcp://d:1", "tcp://b:1"])
        #expect(
            find(.init(service: "shop", ownZone: "us"))
                == ["tcp://d:1", "tcp://c:1", "tcp://b:1"])
        #expect(find(.init(service: "cart")) == ["tcp://e:1"])
        // A gateway stands in for a service without a route, over any link that is allowed.
        #expect(find(.init(service: "pay")) == [])
        #expect(find(.init(service: "pay", link: nil)) == ["tls://gate:443"])
        #expect(find(.init(service: "shop", network: "other")) == [])
        #expect(find(.init(router: "r", link: "wan")) == ["tls://gate:443"])
        #expect(find(.init(gateway: "tls://gate:443", link: nil)) == ["tls://gate:443"])
        #expect(find(.init()).count == 4)
        #expect(table.list().count == 5)
    }

    @Test func whatIsNotValidIsRefused() throws {
        let faults: [(String, (inout Route) -> Void)] = [
            ("service", { $0.service = "a b" }), ("address", { $0.address = "" }),
            ("address", { $0.address = "tcp://0.0.0.0:1" }), ("gateway", { $0.gateway = "x" }),
            ("metric", { $0.metric = -1 }), ("metric", { $0.metric = .max }),
            ("zone", { $0.zone = String(repeating: "z", count: 256) }),
        ]
        let table = try RouteTable([near])
        for (field, change) in faults {
            var route = far
            change(&route)
            let error = #expect(throws: MicroError.self) {
                try table.replace(with: [near, route])
            }
            #expect(error?.code == .invalidArgument)
            #expect(error?.metadata["field"] == "routes[1].\(field)")
            #expect(error?.detail.contains(field) == true)
        }
        #expect(throws: MicroError.self) { try table.replace(with: [far, far]) }
        #expect(table.list() == [near])
        let small = try RouteTable([near], limit: 1)
        let full = #expect(throws: MicroError.self) { try small.create(far) }
        #expect(full?.code == .resourceExhausted)
        #expect(throws: MicroError.self) { try small.replace(with: [near, far]) }
        #expect(small.list() == [near])
    }

    @Test func aWatchIsASnapshotThenEveryChange() async throws {
        try await withSimulation {
            let (near, far) = (near, far)
            let table = try RouteTable([near])
            var events = table.watch(.init(service: "shop")).makeAsyncIterator()
            var event = await events.next()
            #expect(event?.change == .snapshot([near]))
            try table.create(far)
            try table.create(Route("cart", address: "tcp://c:1"))
            var changed = far
            changed.metric = 2
            try table.update(changed)
            try table.delete(near)
            event = await events.next()
            #expect(event?.change == .created(far))
            event = await events.next()
            #expect(event?.change == .updated(changed))
            event = await events.next()
            #expect(event?.change == .deleted(near))
            #expect(event?.revision == table.revision)
            // Who waits is woken.
            async let later: Void = {
                try await Environment.current.clock.sleep(for: .seconds(1))
                try table.create(near)
            }()
            event = await events.next()
            #expect(event?.change == .created(near))
            try await later
        }
    }

    @Test func whoIsTooSlowStartsAnew() async throws {
        try await withSimulation {
            let table = try RouteTable()
            var events = table.watch().makeAsyncIterator()
            var event = await events.next()
            #expect(event?.change == .snapshot([]))
            for port in 1...1024 { try table.create(Route("s", address: "tcp://h:\(port)")) }
            event = await events.next()
            #expect(event?.change == .created(Route("s", address: "tcp://h:1")))
            for port in 1025...1027 { try table.create(Route("s", address: "tcp://h:\(port)")) }
            event = await events.next()
            guard case .snapshot(let routes) = event?.change else {
                Issue.record("\(String(describing: event))")
                return
            }
            #expect(routes.count == 1027)
        }
    }

    @Test func cancellingEndsAWatch() async throws {
        try await withSimulation {
            let table = try RouteTable()
            try await withThrowingTaskGroup(of: Int.self) { group in
                group.addTask {
                    var count = 0
                    for await _ in table.watch() { count += 1 }
                    return count
                }
                try await Environment.current.clock.sleep(for: .seconds(1))
                group.cancelAll()
                for try await count in group { #expect(count == 1) }
            }
        }
    }

    @Test func routesAndRulesAsAConfiguration() throws {
        func decode(_ json: String) throws -> RouteConfig {
            try JSONCodec().decode(RouteConfig.self, from: Array(json.utf8).span.bytes)
        }
        let config = try decode(
            """
            {"rules": [{"name": "r", "to": [{"zone": "@own"}]}],
             "routes": [{"address": "tcp://a:1", "service": "shop", "metric": 4}]}
            """)
        try config.validate()
        var route = near
        route.metric = 4
        #expect(
            config
                == RouteConfig(
                    rules: [RouteRule("r", to: [NodeSubset(zone: "@own")])], routes: [route]))
        let encoded = try JSONCodec().encode(config)
        #expect(try decode(String(decoding: encoded, as: UTF8.self)) == config)
        #expect(try decode("{}") == RouteConfig())
        let error = #expect(throws: MicroError.self) {
            try decode(#"{"routes": [{"address": "nowhere"}]}"#).validate()
        }
        #expect(error?.metadata["field"] == "routes[0].address")
    }
}
