import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(2))) struct RegisterResolverTests {
    private static let hour = Duration.seconds(3600)

    @Test func oneWatchForAllWhoAskAtOnce() async throws {
        try await withSimulation {
            let register = FedRegister()
            let resolver = RegisterResolver(register: register)
            try await withThrowingTaskGroup(of: Resolution.self) { group in
                for _ in 0..<100 { group.addTask { try await resolver.resolve("apples") } }
                try await Environment.current.clock.sleep(for: .seconds(1))
                register.feed.replace(with: [testNode("a")])
                for try await resolution in group { #expect(resolution.nodes.map(\.id) == ["a"]) }
            }
            #expect(register.watches == 1)
            #expect(try await resolver.resolve("apples").revision == 1)
            register.feed.register(testNode("b"))
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            let next = try await resolver.resolve("apples")
            #expect(next.nodes.map(\.id) == ["a", "b"])
            #expect(next.revision == 2)
            #expect(register.watches == 1)
            await resolver.close()
            #expect(!register.feed.isWatched)
        }
    }

    @Test func unknownNamesSayWhatThereIs() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            for index in 10..<22 {
                try await register.register(
                    testNode("n", service: "service-\(index)"), ttl: Self.hour)
            }
            let resolver = RegisterResolver(register: register)
            let error = await #expect(throws: MicroError.self) {
                try await resolver.resolve("pears")
            }
            #expect(error?.code == .notFound)
            let detail = error?.detail ?? ""
            #expect(detail.contains("pears"))
            #expect(detail.contains("the memory register of this process"))
            #expect(detail.contains("service-10, service-11"))
            #expect(detail.contains("service-19 and 2 more"))
            #expect(!detail.contains("service-20"))
            let invalid = await #expect(throws: MicroError.self) {
                try await resolver.resolve("a b")
            }
            #expect(invalid?.code == .invalidArgument)
            // It is found as soon as it is there.
            try await register.register(testNode("p", service: "pears"), ttl: Self.hour)
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            #expect(try await resolver.resolve("pears").nodes.map(\.id) == ["p"])
            await resolver.close()
            await register.close()
        }
    }

    @Test func staleAnswersHaveAnAge() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let register = FedRegister()
            let resolver = RegisterResolver(register: register)
            // Never known: the reason.
            register.feed.finish()
            let broken = RegisterResolver(register: register)
            let gone = await #expect(throws: MicroError.self) { try await broken.resolve("apples") }
            #expect(gone?.code == .unavailable)
            await broken.close()

            let down = MicroError("register", .unavailable, "it is down")
            let other = FedRegister()
            let second = RegisterResolver(register: other)
            let updates = second.updates(for: "apples")
            other.feed.interrupt(down)
            let error = await #expect(throws: MicroError.self) {
                try await second.resolve("apples")
            }
            #expect(error == down)
            other.feed.replace(with: [testNode("a")])
            try await clock.sleep(for: .milliseconds(1))
            #expect(try await second.resolve("apples").age == .zero)
            other.feed.interrupt(down)
            try await clock.sleep(for: .seconds(60))
            let stale = try await second.resolve("apples")
            #expect(stale.nodes.map(\.id) == ["a"])
            #expect(stale.age >= .seconds(59) && stale.age <= .seconds(60))
            other.feed.replace(with: [testNode("a")])
            try await clock.sleep(for: .milliseconds(1))
            #expect(try await second.resolve("apples").age == .zero)
            #expect(try await second.resolve("apples").revision == stale.revision)
            updates.cancel()
            await second.close()
            await resolver.close()
        }
    }

    @Test func unusedServicesAreForgottenAndUsedOnesAreNot() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let register = MemoryRegister()
            try await register.register(testNode("a"), ttl: Self.hour)
            try await register.register(testNode("p", service: "pears"), ttl: Self.hour)
            let scripted = CountingRegister(register)
            let resolver = RegisterResolver(register: scripted)
            let updates = resolver.updates(for: "pears")
            _ = try await resolver.resolve("apples")
            #expect(scripted.watches == 2)
            for _ in 0..<4 {
                try await clock.sleep(for: .seconds(240))
                _ = try await resolver.resolve("apples")
            }
            #expect(scripted.watches == 2)
            try await clock.sleep(for: .seconds(361))
            _ = try await resolver.resolve("apples")
            #expect(scripted.watches == 3)  // apples were forgotten; pears have a subscriber
            var iterator = updates.makeAsyncIterator()
            #expect(await iterator.next()?.nodes.map(\.id) == ["p"])
            try await register.deregister(testNode("p", service: "pears"))
            #expect(await iterator.next()?.nodes == [])
            await resolver.close()
            let end1 = await iterator.next()
            #expect(end1 == nil)
            await register.close()
        }
    }

    @Test func updatesAreTheNewestState() async throws {
        try await withSimulation {
            let register = FedRegister()
            let resolver = RegisterResolver(register: register)
            let (fast, slow) = (resolver.updates(for: "apples"), resolver.updates(for: "apples"))
            var iterator = fast.makeAsyncIterator()
            var late = slow.makeAsyncIterator()
            register.feed.replace(with: [])
            #expect(await iterator.next()?.nodes == [])  // no nodes is an answer here
            var last: UInt64 = 0
            for id in ["a", "b", "c"] {
                register.feed.register(testNode(id))
                let state = await iterator.next()
                #expect(state?.nodes.last?.id == id)
                #expect((state?.revision ?? 0) > last)
                last = state?.revision ?? 0
            }
            let state = await late.next()  // one for all four
            #expect(state?.nodes.map(\.id) == ["a", "b", "c"])
            #expect(state?.revision == last)
            fast.cancel()
            let end2 = await iterator.next()
            #expect(end2 == nil)
            register.feed.register(testNode("d"))
            #expect(await late.next()?.nodes.count == 4)
            await resolver.close()
        }
    }

    @Test func aRegisterThatWasMadeAnewDoesNotStopTheTraffic() async throws {
        try await withSimulation {
            let clock = Environment.current.clock
            let register = FedRegister()
            let resolver = RegisterResolver(register: register)
            let updates = resolver.updates(for: "apples")
            register.feed.replace(with: [testNode("a"), testNode("b")])
            try await clock.sleep(for: .seconds(1))
            register.feed.replace(with: [], isAnew: true)
            try await clock.sleep(for: .seconds(30))
            #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a", "b"])
            register.feed.register(testNode("a"))  // its heartbeat
            try await clock.sleep(for: .seconds(59))
            #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a", "b"])
            try await clock.sleep(for: .seconds(2))
            #expect(try await resolver.resolve("apples").nodes.map(\.id) == ["a"])
            var iterator = updates.makeAsyncIterator()
            #expect(await iterator.next()?.nodes.map(\.id) == ["a"])
            await resolver.close()
        }
    }

    @Test func refreshingAsksAgain() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            try await register.register(testNode("a"), ttl: Self.hour)
            let counted = CountingRegister(register)
            let resolver = RegisterResolver(register: counted)
            #expect(try await resolver.refresh("apples").nodes.map(\.id) == ["a"])
            #expect(counted.watches == 1)  // the first answer is as fresh as can be
            try await register.register(testNode("b"), ttl: Self.hour)
            #expect(try await resolver.refresh("apples").nodes.map(\.id) == ["a", "b"])
            #expect(counted.watches == 2)
            try await register.register(testNode("c"), ttl: Self.hour)  // the new watch goes on
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            #expect(try await resolver.resolve("apples").nodes.count == 3)
            await resolver.close()
            let error = await #expect(throws: MicroError.self) {
                try await resolver.refresh("apples")
            }
            #expect(error?.code == .unavailable)
            await register.close()
        }
    }

    @Test func idsOfSeveralNamespacesStayApart() async throws {
        try await withSimulation {
            let register = MemoryRegister()
            var other = testNode("a")
            other.namespace = "test"
            try await register.register(testNode("a"), ttl: Self.hour)
            try await register.register(other, ttl: Self.hour)
            let resolver = RegisterResolver(
                register: register, namespace: RegisterNamespace.wildcard)
            let nodes = try await resolver.resolve("apples").nodes
            #expect(nodes.map(\.id) == ["micro/a", "test/a"])
            await resolver.close()
        }
    }

    @Test func aBoundOnTheServicesRemembered() async throws {
        try await withSimulation {
            let register = CountingRegister(MemoryRegister())
            var options = RegisterResolver.Options()
            options.servicesMax = 2
            let resolver = RegisterResolver(register: register, options: options)
            for name in ["a", "b", "c", "d"] {
                await #expect(throws: MicroError.self) { try await resolver.resolve(name) }
                try await Environment.current.clock.sleep(for: .seconds(1))
            }
            #expect(register.watches == 4)
            await #expect(throws: MicroError.self) { try await resolver.resolve("d") }
            #expect(register.watches == 4)  // still known
            let held = [resolver.updates(for: "x"), resolver.updates(for: "y")]
            try await Environment.current.clock.sleep(for: .seconds(1))
            let full = await #expect(throws: MicroError.self) { try await resolver.resolve("z") }
            #expect(full?.code == .resourceExhausted)
            for updates in held { updates.cancel() }
            await resolver.close()
            await register.close()
        }
    }

    @Test func cancellationEndsTheWait() async throws {
        try await withSimulation {
            let resolver = RegisterResolver(register: FedRegister())  // never says anything
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        _ = try await resolver.resolve("apples")
                        return false
                    } catch { return error is CancellationError }
                }
                try? await Environment.current.clock.sleep(for: .seconds(1))
                group.cancelAll()
                #expect(await group.next() == true)
            }
            await resolver.close()
        }
    }

    @Test func droppingItEndsItsWatches() async throws {
        try await withSimulation {
            let register = FedRegister()
            do {
                let resolver = RegisterResolver(register: register)
                register.feed.replace(with: [])
                let updates = resolver.updates(for: "apples")
                try await Environment.current.clock.sleep(for: .milliseconds(1))
                #expect(register.feed.isWatched)
                updates.cancel()
            }
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            #expect(!register.feed.isWatched)
        }
    }

    @Test func fixedServices() async throws {
        let resolver = StaticResolver(addresses: [
            "apples": ["tcp://h:1", "tcp://h:2"], "none": [],
        ])
        let resolution = try await resolver.resolve("apples")
        #expect(resolution.nodes.map(\.address) == ["tcp://h:1", "tcp://h:2"])
        #expect(resolution.age == .zero)
        for name in ["pears", "none"] {
            let error = await #expect(throws: MicroError.self) { try await resolver.resolve(name) }
            #expect(error?.code == .notFound)
            #expect(error?.detail.contains("apples") == true)
        }
        let updates = resolver.updates(for: "apples")
        var iterator = updates.makeAsyncIterator()
        #expect(await iterator.next()?.nodes.count == 2)
        updates.cancel()
        let end3 = await iterator.next()
        #expect(end3 == nil)
    }
}
