import Testing

@testable import MicroTesting

struct FaultTableTests {
    private let fast = Duration.milliseconds(1) ... .milliseconds(2)
    private let a = Party.machine(0)
    private let b = Party.machine(1)
    private let c = Party.machine(2)

    @Test func waysAreOpen() {
        let table = FaultTable(latency: fast)
        #expect(table.path(from: a, to: b) == .open(fast))
        #expect(table.path(from: a, to: a) == .open(.zero ... .zero))
        #expect(
            table.roundTrip(from: a, to: .register)
                == .open(.milliseconds(2) ... .milliseconds(4)))
    }

    @Test func cutOffFromEverybody() {
        var table = FaultTable(latency: fast)
        let id = table.add(.partition(a, from: nil, .both))
        for other in [b, c, .register, .engines] {
            #expect(table.path(from: a, to: other) == .silent)
            #expect(table.path(from: other, to: a) == .silent)
        }
        #expect(table.path(from: b, to: c) == .open(fast))
        let (first, second) = (table.remove(id), table.remove(id))
        #expect(first && !second)
        #expect(table.path(from: a, to: b) == .open(fast))
    }

    @Test func cutOffFromOneInOneDirection() {
        var table = FaultTable(latency: fast)
        _ = table.add(.partition(a, from: b, .outgoing))
        #expect(table.path(from: a, to: b) == .silent)
        #expect(table.path(from: b, to: a) == .open(fast))
        #expect(table.path(from: a, to: c) == .open(fast))
        #expect(table.roundTrip(from: b, to: a) == .silent)
        _ = table.add(.partition(c, from: nil, .incoming))
        #expect(table.path(from: b, to: c) == .silent)
        #expect(table.path(from: c, to: b) == .open(fast))
    }

    @Test func delaysAdd() {
        var table = FaultTable(latency: fast)
        _ = table.add(.delay(a, to: nil, .milliseconds(10) ... .milliseconds(20)))
        _ = table.add(.delay(b, to: nil, .milliseconds(100) ... .milliseconds(100)))
        #expect(table.path(from: a, to: b) == .open(.milliseconds(111) ... .milliseconds(122)))
        #expect(table.path(from: c, to: a) == .open(.milliseconds(11) ... .milliseconds(22)))
    }

    @Test func silenceHidesThatNobodyIsThere() {
        var table = FaultTable(latency: fast)
        _ = table.add(.outage(.register))
        #expect(table.path(from: a, to: .register) == .refused)
        #expect(table.path(from: a, to: .engines) == .open(fast))
        _ = table.add(.partition(a, from: .register, .both))
        #expect(table.path(from: a, to: .register) == .silent)
        #expect(table.roundTrip(from: b, to: .register) == .refused)
        table.removeAll()
        #expect(table.path(from: a, to: .register) == .open(fast))
    }
}
