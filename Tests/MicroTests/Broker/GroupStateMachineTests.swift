import Testing

@testable import Micro

@Suite struct GroupStateMachineTests {
    private typealias Instant = EventLoopClock.Instant

    private func machine(_ options: SubscriptionOptions) throws -> GroupStateMachine {
        GroupStateMachine(group: "g", pattern: try TopicPattern("t"), options: options)
    }

    private func message(_ number: UInt64, key: String? = nil) -> Message {
        Message(id: "\(number)", topic: "t", key: key, body: [])
    }

    /// Random events, and after each the promises: one message of a key at a time and in order, no
    /// member above its concurrency, the capacity kept, nothing lost and nothing done twice.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func keepsItsPromises(seed: UInt64) throws {
        var dice = SeededRandom(seed: seed)
        let options = SubscriptionOptions(
            capacity: 20, overflow: seed % 2 == 0 ? .wait : .dropOldest, maxDeliveries: 3)
        var group = try machine(options)
        let concurrency = 3
        var members: Set<UInt64> = [1]
        group.join(1, concurrency: concurrency)
        group.await(1)

        var now = Instant(nanoseconds: 1_000)
        var out: [GroupStateMachine.Handout] = []
        var delayed: [(sequence: UInt64, at: Instant)] = []
        var dying: [UInt64] = []
        var done: Set<UInt64> = []
        var pushed: UInt64 = 0
        var lastOfKey: [String: UInt64] = [:]

        func settle(_ failure: GroupStateMachine.Failure?, _ sequence: UInt64) {
            switch failure {
            case nil, .dropped:
                #expect(done.insert(sequence).inserted, "message \(sequence) was done twice")
            case .redeliver(let sequence, let at): delayed.append((sequence, at))
            case .dead(let sequence, let letter):
                #expect(letter.topic == "$dead.t")
                dying.append(sequence)
            }
        }

        for _ in 0..<2_500 {
            now = now.advanced(by: .milliseconds(Int64.random(in: 0..<20, using: &dice)))
            switch Int.random(in: 0..<12, using: &dice) {
            case 0...3:
                if group.isFull, options.overflow == .wait { break }
                pushed += 1
                let key = ["a", "b", "c", nil, nil][Int.random(in: 0..<5, using: &dice)]
                group.push(message(pushed, key: key), sequence: pushed)
            case 4...6:
                guard let handout = out.randomElement(using: &dice) else { break }
                out.removeAll { $0.ticket == handout.ticket }
                try group.acknowledge(handout.ticket)
                settle(nil, handout.ticket.sequence)
                #expect(throws: GroupStateMachine.Refusal.self) {
                    try group.acknowledge(handout.ticket)
                }
            case 7:
                guard let handout = out.randomElement(using: &dice) else { break }
                out.removeAll { $0.ticket == handout.ticket }
                let isExpiry = Bool.random(using: &dice)
                let failure =
                    isExpiry
                    ? group.expire(handout.ticket, now: now, random: dice.next())
                    : try group.retry(
                        handout.ticket, after: nil, reason: "r", now: now, random: dice.next())
                #expect(failure != nil)
                settle(failure, handout.ticket.sequence)
                do throws(GroupStateMachine.Refusal) {
                    try group.acknowledge(handout.ticket)
                    Issue.record("settled twice")
                } catch {
                    #expect((error == .expired) == isExpiry)
                }
            case 8:
                guard let handout = out.randomElement(using: &dice) else { break }
                out.removeAll { $0.ticket == handout.ticket }
                settle(try group.discard(handout.ticket, reason: "d"), handout.ticket.sequence)
            case 9:
                let member = UInt64.random(in: 1...4, using: &dice)
                if members.contains(member), members.count > 1 {
                    members.remove(member)
                    group.leave(member)
                    for handout in out where handout.member == member {
                        #expect(throws: GroupStateMachine.Refusal.expired) {
                            try group.acknowledge(handout.ticket)
                        }
                    }
                    out.removeAll { $0.member == member }
                } else if members.insert(member).inserted {
                    group.join(member, concurrency: concurrency)
                }
            case 10:
                for sequence in dying {
                    group.bury(sequence)
                    settle(nil, sequence)
                }
                dying = []
            default:
                for due in delayed where due.at <= now { group.ripen(due.sequence) }
                delayed.removeAll { $0.at <= now }
            }
            for member in members.sorted() { group.await(member) }
            while let handout = group.handOut(now: now) {
                #expect(members.contains(handout.member))
                #expect(handout.deadline == now.advanced(by: options.ackTimeout))
                #expect(!done.contains(handout.ticket.sequence))
                #expect(!out.contains { $0.ticket.sequence == handout.ticket.sequence })
                if let key = handout.message.key {
                    #expect(!out.contains { $0.message.key == key }, "two of key \(key)")
                    #expect(lastOfKey[key, default: 0] <= handout.ticket.sequence)
                    lastOfKey[key] = handout.ticket.sequence
                }
                out.append(handout)
                group.await(handout.member)
            }
            for member in members {
                #expect(out.filter { $0.member == member }.count <= concurrency)
                #expect(group.isBusy(member) == out.contains { $0.member == member })
            }
            // What comes back from members may go above it, by what was out.
            #expect(group.waiting <= options.capacity + 4 * concurrency)
        }

        // To the end: everything that was pushed is done, or was dropped and counted.
        for _ in 0..<1_000 where done.count < Int(pushed - group.dropped) {
            now = now.advanced(by: .seconds(60))
            for sequence in dying {
                group.bury(sequence)
                settle(nil, sequence)
            }
            dying = []
            for due in delayed { group.ripen(due.sequence) }
            delayed = []
            for handout in out {
                try group.acknowledge(handout.ticket)
                settle(nil, handout.ticket.sequence)
            }
            out = []
            for member in members.sorted() { group.await(member) }
            while let handout = group.handOut(now: now) {
                out.append(handout)
                group.await(handout.member)
            }
        }
        #expect(UInt64(done.count) + group.dropped == pushed)
        #expect(group.waiting == 0)
        #expect((group.dropped > 0) == (options.overflow == .dropOldest))
    }

    @Test func membersTakeTurns() throws {
        var group = try machine(SubscriptionOptions())
        for member in 1...3 as ClosedRange<UInt64> {
            group.join(member, concurrency: 10)
            group.await(member)
        }
        var members: [UInt64] = []
        for number in 1...9 as ClosedRange<UInt64> {
            group.push(message(number), sequence: number)
            let next = group.handOut(now: Instant(nanoseconds: 0))
            let handout = try #require(next)
            members.append(handout.member)
            group.await(handout.member)
        }
        #expect(members == [1, 2, 3, 1, 2, 3, 1, 2, 3])
    }

    @Test func whatAMemberLeavesHasNotFailed() throws {
        var group = try machine(SubscriptionOptions(maxDeliveries: 1))
        group.push(message(1, key: "k"), sequence: 1)
        group.push(message(2, key: "k"), sequence: 2)
        for member in 1...3 as ClosedRange<UInt64> {
            group.join(member, concurrency: 1)
            group.await(member)
            let next = group.handOut(now: Instant(nanoseconds: 0))
            let handout = try #require(next)
            #expect(handout.member == member)
            #expect(handout.ticket.sequence == 1)
            #expect(handout.deliveries == 1)
            group.leave(member)
        }
    }

    @Test func deadLettersCountAsWaiting() throws {
        var group = try machine(
            SubscriptionOptions(concurrency: 1, capacity: 2, overflow: .dropOldest))
        group.join(1, concurrency: 1)
        for number in 1...2 as ClosedRange<UInt64> {
            group.push(message(number), sequence: number)
            group.await(1)
            let next = group.handOut(now: Instant(nanoseconds: 0))
            let handout = try #require(next)
            guard case .dead = try group.discard(handout.ticket, reason: "r") else {
                Issue.record("it is not dead")
                return
            }
        }
        #expect(group.isFull)
        // Nothing else can give way to it.
        group.push(message(3), sequence: 3)
        #expect(group.dropped == 1)
        group.bury(1)
        #expect(!group.isFull)
    }

    /// What a queue remembers of messages that are gone must not grow.
    @Test func droppingDoesNotGrow() throws {
        var group = try machine(
            SubscriptionOptions(concurrency: 1, capacity: 4, overflow: .dropOldest))
        for number in 1...20_000 as ClosedRange<UInt64> {
            group.push(message(number, key: number % 2 == 0 ? "k" : nil), sequence: number)
        }
        #expect(group.waiting == 4)
        #expect(group.dropped == 19_996)
        #expect(group.footprint < 300)
    }
}
