import Micro
import Testing

@testable import MicroEtcd

@Suite struct AnnouncementStateMachineTests {
    private typealias Machine = AnnouncementStateMachine
    private let node = ServiceNode(id: "a", service: "apples", addresses: ["tcp://h:1"])

    private func write(
        _ condition: Machine.Condition, lease: Int64, _ node: ServiceNode?
    ) -> Machine.Step {
        .write(Machine.Write(condition: condition, lease: lease, node: node))
    }

    /// A node that is there, with the lease 1, since the revision 10.
    private func entered(_ seconds: Int64 = 90) -> Machine {
        var machine = Machine()
        machine.begin(node, seconds: seconds, keepsLease: false)
        #expect(machine.next() == .grant(seconds: seconds))
        machine.granted(1)
        // The first time, whoever has the key.
        #expect(machine.next() == write(.none, lease: 1, node))
        machine.wrote(revision: 10)
        #expect(machine.next() == .done(revoke: []))
        #expect(machine.revision == 10)
        return machine
    }

    @Test func aHeartbeatOnlyLooks() {
        var machine = entered()
        machine.begin(node, seconds: 90, keepsLease: false)
        #expect(machine.next() == .check(lease: 1))
        machine.checked(90)
        #expect(machine.next() == write(.unchangedSince(10), lease: 1, nil))
        machine.wrote(revision: nil)
        #expect(machine.next() == .done(revoke: []))
        #expect(machine.revision == 10)
    }

    @Test func aNodeThatChangedIsWritten() {
        var machine = entered()
        var changed = node
        changed.weight = 5
        machine.begin(changed, seconds: 90, keepsLease: false)
        machine.checked(90)
        #expect(machine.next() == write(.unchangedSince(10), lease: 1, changed))
        machine.wrote(revision: 11)
        #expect(machine.revision == 11)
    }

    @Test func anotherTimeToLiveIsAnotherLease() {
        var machine = entered()
        machine.begin(node, seconds: 5, keepsLease: false)
        #expect(machine.next() == .grant(seconds: 5))
        machine.granted(2)
        #expect(machine.next() == write(.unchangedSince(10), lease: 2, node))
        machine.wrote(revision: 11)
        #expect(machine.next() == .done(revoke: [1]))
        machine.revoked([1])
        #expect(machine.leases == [2])
        #expect(machine.next() == .done(revoke: []))
        // A repair does not mind what is left of it.
        machine.begin(node, seconds: 3, keepsLease: true)
        #expect(machine.next() == .check(lease: 2))
    }

    @Test func aLeaseThatHasEndedIsGrantedAgain() {
        var machine = entered()
        machine.begin(node, seconds: 90, keepsLease: false)
        machine.checked(0)
        #expect(machine.next() == .grant(seconds: 90))
        machine.granted(2)
        #expect(machine.next() == write(.unchangedSince(10), lease: 2, node))
        machine.conflicted(nil)  // the key went with its lease
        #expect(machine.next() == write(.absent, lease: 2, node))
        machine.wrote(revision: 20)
        #expect(machine.next() == .done(revoke: []))
        #expect(machine.leases == [2])
    }

    @Test func aLeaseThatEndsBeforeTheWriteIsGrantedAgain() {
        var machine = entered()
        machine.begin(node, seconds: 90, keepsLease: false)
        machine.checked(1)
        machine.conflicted(nil)
        #expect(machine.next() == write(.absent, lease: 1, node))
        machine.lostLease()
        #expect(machine.next() == .grant(seconds: 90))
        machine.granted(2)
        #expect(machine.next() == write(.absent, lease: 2, node))
    }

    @Test func anAnswerThatWasLostIsFoundOut() {
        var machine = entered()
        machine.begin(node, seconds: 90, keepsLease: false)
        machine.checked(90)
        // Written by itself at 11, and nobody said so.
        machine.conflicted(.init(revision: 11, lease: 1))
        #expect(machine.next() == write(.unchangedSince(11), lease: 1, node))
        machine.wrote(revision: 12)
        #expect(machine.revision == 12)
    }

    @Test func aSuccessorKeepsItsKey() {
        var machine = entered()
        machine.begin(node, seconds: 90, keepsLease: false)
        machine.checked(90)
        machine.conflicted(.init(revision: 30, lease: 77))
        #expect(machine.next() == .refused(revoke: [1]))
        #expect(machine.isDisplaced)
        machine.revoked([1])
        // It looks first, and makes no lease as long as the other is there.
        machine.begin(node, seconds: 90, keepsLease: false)
        #expect(machine.next() == .look)
        machine.looked(.init(revision: 31, lease: 77))
        #expect(machine.next() == .refused(revoke: []))
        // A key without a lease is somebody's, too.
        machine.begin(node, seconds: 90, keepsLease: false)
        machine.looked(.init(revision: 32, lease: 0))
        #expect(machine.next() == .refused(revoke: []))
        machine.begin(node, seconds: 90, keepsLease: false)
        machine.looked(nil)
        #expect(machine.next() == .grant(seconds: 90))
        machine.granted(2)
        #expect(machine.next() == write(.absent, lease: 2, node))
        machine.wrote(revision: 40)
        #expect(!machine.isDisplaced)
    }

    @Test func whatWasGivenUpIsBegunAnew() {
        var machine = Machine()
        machine.begin(node, seconds: 90, keepsLease: false)
        machine.granted(1)
        // The answer to the first write never came: whoever has the key, it is taken again.
        machine.begin(node, seconds: 90, keepsLease: false)
        #expect(machine.next() == .check(lease: 1))
        machine.checked(80)
        #expect(machine.next() == write(.none, lease: 1, node))
        #expect(!machine.isEntered)
    }

    @Test func secondsAreRoundedUp() {
        #expect(AnnouncedNode.seconds(of: .nanoseconds(1)) == 1)
        #expect(AnnouncedNode.seconds(of: .seconds(2)) == 2)
        #expect(AnnouncedNode.seconds(of: .milliseconds(2001)) == 3)
        #expect(AnnouncedNode.seconds(of: .seconds(Int64.max)) == 9_000_000_000)
        #expect(
            AnnouncedNode.seconds(of: Duration(secondsComponent: .max, attosecondsComponent: 1))
                == 9_000_000_000)
    }
}
