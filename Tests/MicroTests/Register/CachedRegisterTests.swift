import MicroTesting
import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(5))) struct CachedRegisterTests {
    private static let hour = Duration.seconds(3600)
    private let down = MicroError("register", .unavailable, "it is down")

    private func sleep(_ duration: Duration) async throws {
        try await Environment.current.clock.sleep(for: duration)
    }

    /// Asks, and has the register answer.
    private func load(
        _ cache: CachedRegister, _ base: FedRegister, _ nodes: [ServiceNode]
    ) async throws {
        async let answer = cache.lookup("apples")
        try await sleep(.milliseconds(1))
        base.feed.replace(with: nodes)
        let first = try await answer
        #expect(first == nodes)
    }

    @Test(arguments: RegisterConformance.checks)
    func conformsInASimulation(_ check: String) async throws {
        try await withSimulation(seed: 7) {
            try await RegisterConformance { CachedRegister(MemoryRegister()) }.run([check])
        }
    }

    @Test func conformsOnTheProcessesLoops() async throws {
        try await RegisterConformance { CachedRegister(MemoryRegister()) }.run()
    }

    @Test func twoLayersConform() async throws {
        try await withSimulation {
            try await RegisterConformance {
                CachedRegister(CachedRegister(MemoryRegister()))
            }.run()
        }
    }

    /// A thousand who ask at once cause one watch, and no look-up.
    @Test func aStampedeIsOneQuestion() async throws {
        try await withSimulation {
            let base = FedRegister()
            let cache = CachedRegister(base)
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<1000 {
                    group.addTask {
                        try await cache.lookup("apples", namespace: RegisterNamespace.standard)
                            .count
                    }
                }
                try await sleep(.seconds(1))
                base.feed.replace(with: [testNode("a"), testNode("b")])
                for try await count in group { #expect(count == 2) }
            }
            #expect((base.watches, base.lookups) == (1, 0))
            // Nodes come and go without a question.
            base.feed.register(testNode("c"))
            try await sleep(.milliseconds(1))
            #expect(try await cache.lookup("apples").map(\.id) == ["a", "b", "c"])
            base.feed.deregister(testNode("c"))
            try await sleep(.milliseconds(1))
            #expect(try await cache.lookup("apples").map(\.id) == ["a", "b"])
            #expect((base.watches, base.lookups) == (1, 0))
            await cache.close()
            #expect(!base.feed.isWatched)
        }
    }

    @Test func anUnknownServiceIsRememberedToo() async throws {
        try await withSimulation {
            let base = FedRegister()
            let cache = CachedRegister(base)
            try await load(cache, base, [])
            #expect(try await cache.lookup("apples") == [])
            #expect((base.watches, base.lookups) == (1, 0))
            await cache.close()
        }
    }

    // MARK: Errors

    @Test func staleAnswersLastAndHaveAnAge() async throws {
        try await withSimulation {
            let base = FedRegister()
            let cache = CachedRegister(base)
            #expect(cache.state(of: "apples") == .init(isKnown: false, nodes: 0, age: .zero))
            try await load(cache, base, [testNode("a")])
            #expect(cache.state(of: "apples") == .init(isKnown: true, nodes: 1, age: .zero))
            base.feed.interrupt(down)
            try await sleep(Self.hour * 48)
            #expect(try await cache.lookup("apples").map(\.id) == ["a"])
            let state = cache.state(of: "apples")
            #expect(state.age == Self.hour * 48)
            #expect(state.interruption?.detail == "it is down")
            base.feed.replace(with: [testNode("a"), testNode("b")])
            try await sleep(.milliseconds(1))
            #expect(cache.state(of: "apples") == .init(isKnown: true, nodes: 2, age: .zero))
            await cache.close()
        }
    }

    @Test func whatWasNeverKnownFailsAsTheRegisterDoes() async throws {
        try await withSimulation {
            let base = FedRegister()
            let cache = CachedRegister(base)
            async let answer: [ServiceNode] = cache.lookup("apples")
            try await sleep(.milliseconds(1))
            base.feed.interrupt(down)
            do {
                let nodes = try await answer
                Issue.record("\(nodes)")
            } catch {
                #expect(error as? MicroError == down)
            }
            await #expect(throws: down) { try await cache.lookup("apples") }
            #expect(base.watches == 1)
            base.feed.replace(with: [testNode("a")])
            try await sleep(.milliseconds(1))
            #expect(try await cache.lookup("apples").count == 1)
            await cache.close()
        }
    }

    /// G-02: now empty, now half, now all; nobody who asks sees less than there is.
    @Test func aRegisterThatLiesIsNotBelievedAtOnce() async throws {
        try await withSimulation {
            let base = FedRegister()
            let cache = CachedRegister(base)
            let nodes = ["a", "b", "c"].map { testNode($0) }
            try await load(cache, base, nodes)
            for round in 0..<40 {
                base.feed.replace(with: Array(nodes.prefix(round % 2)), isAnew: true)
                try await sleep(.seconds(1))
                #expect(try await cache.lookup("apples").count == 3)
                base.feed.replace(with: nodes, isAnew: true)
                try await sleep(.seconds(1))
                #expect(try await cache.lookup("apples").count == 3)
            }
            // What is removed is gone at once.
            base.feed.deregister(nodes[2])
            try await sleep(.milliseconds(1))
            #expect(try await cache.lookup("apples").count == 2)
            // And what stays away is gone after a while.
            base.feed.replace(with: [], isAnew: true)
            try await sleep(.seconds(89))
            #expect(try await cache.lookup("apples").count == 2)
            try await sleep(.seconds(2))
            #expect(try await cache.lookup("apples").isEmpty)
            await cache.close()
        }
    }

    // MARK: Refreshing

    @Test func askingAnewHasAPauseWithChanceInIt() async throws {
        try await withSimulation(seed: 11) {
            let memory = MemoryRegister()
            try await memory.register(testNode("a"), ttl: Self.hour)
            let base = CountingRegister(memory)
            var options = CachedRegister.Options()
            options.refreshInterval = Self.hour
            let cache = CachedRegister(base, options: options)
            _ = try await cache.lookup("apples")
            for _ in 0..<100 { _ = try await cache.refresh("apples") }
            #expect(base.watches == 2)
            try await sleep(.milliseconds(4999))
            _ = try await cache.refresh("apples")
            #expect(base.watches == 2)
            try await sleep(.milliseconds(2502))
            _ = try await cache.refresh("apples")
            #expect(base.watches == 3)
            await cache.close()
        }
    }

    /// The net: a watch that lies is found out, at times that differ from cache to cache.
    @Test func everythingIsWatchedAnewNowAndThen() async throws {
        try await withSimulation(seed: 5) {
            let memory = MemoryRegister()
            try await memory.register(testNode("a"), ttl: Self.hour * 10)
            var counts: Set<[Int]> = []
            for _ in 0..<4 {
                let base = CountingRegister(memory)
                let cache = CachedRegister(base)
                var times: [Int] = []
                let events = cache.watch("apples").makeAsyncIterator()
                for second in 0..<600 {
                    let before = base.watches
                    try await sleep(.seconds(1))
                    if base.watches > before { times.append(second) }
                }
                #expect((7...13).contains(base.watches))
                #expect(zip(times, times.dropFirst()).allSatisfy { (40...90).contains($1 - $0) })
                counts.insert(times)
                withExtendedLifetime(events) {}
                await cache.close()
            }
            #expect(counts.count > 1)
        }
    }

    // MARK: Watching

    @Test func watchesShareOne() async throws {
        try await withSimulation {
            let base = FedRegister()
            let cache = CachedRegister(base)
            var one = cache.watch("apples").makeAsyncIterator()
            var two = cache.watch("apples").makeAsyncIterator()
            try await sleep(.milliseconds(1))
            base.feed.replace(with: [testNode("a"), testNode("b")])
            let all = RegisterEvent.Change.snapshot([testNode("a"), testNode("b")])
            #expect(await one.next()?.change == all)
            #expect(await two.next()?.change == all)
            base.feed.register(testNode("c"))
            #expect(await one.next()?.change == .added(testNode("c")))
            #expect(await two.next()?.change == .added(testNode("c")))
            // Late, and from memory.
            var three = cache.watch("apples").makeAsyncIterator()
            let late = await three.next()
            #expect(
                late?.change == .snapshot([testNode("a"), testNode("b"), testNode("c")]))
            base.feed.interrupt(down)
            #expect(await one.next()?.change == .interrupted(down))
            // Most of them are missing: who watches still has them.
            base.feed.replace(with: [testNode("a")])
            let held = await one.next()
            #expect(held?.change == late?.change)
            #expect(base.watches == 1)
            await cache.close()
            let end = await one.next()
            #expect(end == nil)
        }
    }

    @Test func writesAreSeenWhenTheyReturn() async throws {
        try await withSimulation {
            let memory = MemoryRegister()
            let cache = CachedRegister(memory)
            #expect(try await cache.lookup("apples").isEmpty)
            #expect(try await cache.list().isEmpty)
            for round in 0..<20 {
                var node = testNode("a")
                node.addresses = ["tcp://h:\(round + 1)"]
                try await cache.register(node, ttl: Self.hour)
                #expect(try await cache.lookup("apples") == [node])
                #expect(try await cache.list().first?.nodes == [node])
                if round % 2 == 1 {
                    try await cache.deregister(node)
                    #expect(try await cache.lookup("apples").isEmpty)
                    #expect(try await cache.list().isEmpty)
                }
            }
            #expect(virtualMilliseconds == 0)
            await cache.close()
        }
    }

    // MARK: Limits

    @Test func whatCannotBeRememberedIsAskedFor() async throws {
        try await withSimulation {
            let memory = MemoryRegister()
            for service in ["apples", "pears", "plums"] {
                try await memory.register(testNode("n", service: service), ttl: Self.hour)
            }
            var options = CachedRegister.Options()
            options.servicesMax = 2
            let base = CountingRegister(memory)
            let cache = CachedRegister(base, options: options)
            let apples = cache.watch("apples").makeAsyncIterator()
            let pears = cache.watch("pears").makeAsyncIterator()
            try await sleep(.milliseconds(1))
            #expect(base.watches == 2)
            #expect(try await cache.lookup("plums").count == 1)
            #expect(try await cache.list().count == 3)
            var plums = cache.watch("plums").makeAsyncIterator()
            let first = await plums.next()
            #expect(first != nil)
            #expect(base.watches == 3)
            withExtendedLifetime((apples, pears)) {}
            await cache.close()
        }
    }

    @Test func moreNodesThanAllowedAreAnError() async throws {
        try await withSimulation {
            let memory = MemoryRegister()
            for index in 0..<4 { try await memory.register(testNode("n\(index)"), ttl: Self.hour) }
            var options = CachedRegister.Options()
            options.nodesMax = 4
            let cache = CachedRegister(memory, options: options)
            #expect(try await cache.lookup("apples").count == 4)
            try await memory.register(testNode("n4"), ttl: Self.hour)
            try await sleep(.milliseconds(1))
            #expect(try await cache.lookup("apples").count == 4)
            #expect(cache.state(of: "apples").interruption?.code == .resourceExhausted)
            await cache.close()
        }
    }

    @Test func whatNobodyAsksForIsForgotten() async throws {
        try await withSimulation {
            let base = FedRegister()
            let cache = CachedRegister(base)
            try await load(cache, base, [testNode("a")])
            try await sleep(.seconds(290))
            #expect(base.feed.isWatched)
            try await sleep(.seconds(30))
            #expect(!base.feed.isWatched)
            #expect(!cache.state(of: "apples").isKnown)
            await cache.close()
        }
    }
}
