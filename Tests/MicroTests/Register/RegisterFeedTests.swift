import Testing

@testable import Micro

@Suite(.timeLimit(.minutes(2))) struct RegisterFeedTests {
    private let down = MicroError("register", .unavailable, "it is down")

    private func next(_ events: RegisterEvents) async -> RegisterEvent.Change? {
        var iterator = events.makeAsyncIterator()
        return await iterator.next()?.change
    }

    @Test func aSlowWatcherGetsASnapshotInsteadOfItsQueue() async {
        let feed = RegisterFeed(queueLimit: 4)
        let events = feed.watch(nil, namespace: "micro")
        feed.replace(with: [])
        #expect(await next(events) == .snapshot([]))
        for id in ["a", "b", "c", "d"] { feed.register(testNode(id)) }
        #expect(await next(events) == .added(testNode("a")))  // four wait: none is lost
        feed.register(testNode("e"))
        feed.deregister(testNode("b"))  // the fifth
        let rest = ["a", "c", "d", "e"].map { testNode($0) }
        #expect(await next(events) == .snapshot(rest))
        feed.register(testNode("f"))
        #expect(await next(events) == .added(testNode("f")))
        events.cancel()
        #expect(await next(events) == nil)
    }

    @Test func revisionsGrowOverSnapshotsAndInterruptions() async {
        let feed = RegisterFeed(queueLimit: 2)
        let events = feed.watch(nil, namespace: "micro")
        feed.replace(with: [testNode("a")])
        var revisions: [UInt64] = []
        var iterator = events.makeAsyncIterator()
        func take() async { revisions.append(await iterator.next()?.revision ?? 0) }
        await take()
        for id in ["b", "c", "d", "e"] { feed.register(testNode(id)) }
        await take()  // a snapshot
        feed.register(testNode("f"))
        feed.interrupt(down)
        await take()
        await take()  // the interruption
        feed.register(testNode("g"))
        await take()  // a snapshot
        #expect(revisions == revisions.sorted())
        #expect(Set(revisions).count == 5)
    }

    @Test func anInterruptionIsToldOnceAndEndsWithASnapshot() async {
        let feed = RegisterFeed()
        let events = feed.watch("apples", namespace: "micro")
        feed.interrupt(down)  // before anything is known
        #expect(await next(events) == .interrupted(down))
        #expect(feed.needsNodes)
        feed.replace(with: [testNode("a")])
        #expect(!feed.needsNodes)
        #expect(await next(events) == .snapshot([testNode("a")]))
        feed.interrupt(down)
        feed.interrupt(MicroError("register", .unavailable, "still down"))
        let late = feed.watch("apples", namespace: "micro")
        #expect(await next(late) == .snapshot([testNode("a")]))  // the last that was known
        #expect(await next(late) == .interrupted(down))
        #expect(await next(events) == .interrupted(down))
        feed.replace(with: [testNode("a")])  // nothing is different, but it is certain again
        #expect(await next(events) == .snapshot([testNode("a")]))
        feed.replace(with: [], isAnew: true)
        #expect(await next(events) == .snapshot([]))
        feed.finish()
        #expect(await next(events) == nil)
        #expect(await next(feed.watch(nil, namespace: "*")) == nil)
    }

    @Test func feedsOfOneRegisterNumberTheirEventsTogether() async throws {
        let numbering = RegisterNumbering()
        let feeds = [RegisterFeed(numbering: numbering), RegisterFeed(numbering: numbering)]
        let watches = feeds.map { $0.watch(nil, namespace: "micro") }
        for feed in feeds { feed.replace(with: []) }
        var last: UInt64 = 0
        for round in 0..<3 {
            for (feed, watch) in zip(feeds, watches) {
                if round > 0 { feed.register(testNode("\(round)")) }
                var iterator = watch.makeAsyncIterator()
                let event = try #require(await iterator.next())
                #expect(event.revision > last)
                last = event.revision
            }
        }
    }

    @Test func itForgetsWhenNobodyWatches() async {
        let feed = RegisterFeed()
        #expect(!feed.needsNodes)
        var events: RegisterEvents? = feed.watch(nil, namespace: "micro")
        feed.replace(with: [testNode("a")])
        #expect(feed.isWatched)
        if let events { #expect(await next(events) == .snapshot([testNode("a")])) }
        events = nil  // dropping is ending
        #expect(!feed.isWatched)
        feed.replace(with: [testNode("stale")])
        let again = feed.watch(nil, namespace: "micro")
        #expect(feed.needsNodes)
        feed.replace(with: [testNode("b")])
        #expect(await next(again) == .snapshot([testNode("b")]))
    }

    @Test func waitersAreServedAsEventsCome() async {
        let feed = RegisterFeed()
        let events = feed.watch(nil, namespace: "micro")
        feed.replace(with: [])
        #expect(await next(events) == .snapshot([]))
        await withTaskGroup(of: Int.self) { group in
            group.addTask {
                var count = 0
                for await _ in events {
                    count += 1
                    if count == 200 { break }
                }
                return count
            }
            for id in 0..<200 {
                feed.register(testNode("n\(id)"))
                await Task.yield()
            }
            #expect(await group.next() == 200)
        }
    }
}
