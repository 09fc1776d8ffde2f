import Foundation
import Micro
import MicroEtcd
import Testing

extension EndToEnd {
    /// The client of MicroEtcd on a real etcd.
    @Suite struct EtcdClientTests {
        private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

        @Test func keysUnderAPrefix() async throws {
            try await Etcd.run { etcd in
                let all = try await etcd.client()
                var options = etcd.options
                options.keyPrefix = "/p/"
                let client = EtcdClient(options)
                #expect(try await client.get("a") == nil)
                let first = try await client.put("a", bytes("1"))
                try await client.put("b", bytes("2"))
                try await all.put("/q/a", bytes("3"))
                try await all.put("/p", bytes("4"))
                let found = try #require(try await client.get("a"))
                #expect(found.key == bytes("a"))
                #expect(found.value == bytes("1"))
                #expect(found.createRevision == first.revision)
                #expect(found.modRevision == first.revision)
                #expect(found.version == 1)
                #expect(found.lease == 0)
                #expect(try await all.get("/p/a")?.value == bytes("1"))

                let answer = try await client.get(.prefix(""))
                #expect(answer.keyValues.map(\.key) == [bytes("a"), bytes("b")])
                #expect(answer.count == 2 && !answer.hasMore)
                let page = try await client.get(.prefix(""), limit: 1, keysOnly: true)
                #expect(page.hasMore && page.keyValues.map(\.value) == [[]])
                let rest = try await client.get(EtcdKeyRange.prefix("").after(bytes("a")))
                #expect(rest.keyValues.map(\.key) == [bytes("b")])
                let past = try await client.get(.prefix(""), revision: first.revision)
                #expect(past.keyValues.map(\.key) == [bytes("a")])

                #expect(try await client.delete(.prefix("")) == 2)
                #expect(try await all.get(.prefix("")).keyValues.count == 2)
                let status = try await client.status(of: etcd.endpoint)
                #expect(status.version.hasPrefix("3."))
                #expect(status.leader == status.header.memberID)
                await client.close()
                await all.close()
            }
        }

        @Test func transactionsDoOneOrTheOther() async throws {
            try await Etcd.run { etcd in
                let client = try await etcd.client()
                let made = try await client.transaction(
                    if: [.isAbsent("k")], then: [.put(key: "k", value: bytes("1"))],
                    otherwise: [.get(.key("k"))])
                #expect(made.isSuccessful)
                #expect(made.results == [.put])
                let again = try await client.transaction(
                    if: [.isAbsent("k")], then: [.put(key: "k", value: bytes("2"))],
                    otherwise: [.get(.key("k"))])
                #expect(!again.isSuccessful)
                guard case .got(let found)? = again.results.first else {
                    throw TestFailure("\(again)")
                }
                #expect(found.map(\.modRevision) == [made.header.revision])
                let right: [EtcdComparison] = [
                    .modRevision(of: "k", is: made.header.revision),
                    .value(of: "k", is: bytes("1")),
                    .createRevision(of: "k", is: made.header.revision), .lease(of: "k", is: 0),
                ]
                let deleted = try await client.transaction(if: right, then: [.delete(.key("k"))])
                #expect(deleted.results == [.deleted(1)])
                let gone = try await client.transaction(if: right, then: [], otherwise: [])
                #expect(!gone.isSuccessful && gone.results.isEmpty)
                await client.close()
            }
        }

        @Test func leases() async throws {
            try await Etcd.run { etcd in
                let client = try await etcd.client()
                let lease = try await client.grantLease(seconds: 600)
                #expect(lease.seconds == 600)
                try await client.put("k", bytes("1"), lease: lease.id)
                let status = try #require(
                    try await client.timeToLive(ofLease: lease.id, withKeys: true))
                #expect(status.grantedSeconds == 600)
                #expect(status.keys == [bytes("k")])
                // Many at once share one stream.
                let answers = try await withThrowingTaskGroup(of: Int64.self) { group in
                    for n in 0..<100 {
                        group.addTask {
                            try await client.keepAlive(lease: n % 2 == 0 ? lease.id : 1)
                        }
                    }
                    return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
                }
                #expect(answers == [600: 50, 0: 50])
                #expect(try await client.revokeLease(lease.id))
                #expect(try await client.revokeLease(lease.id) == false)
                #expect(try await client.get("k") == nil)
                #expect(try await client.keepAlive(lease: lease.id) == 0)
                #expect(try await client.timeToLive(ofLease: lease.id) == nil)
                let error = await failure { _ = try await client.put("k", [], lease: lease.id) }
                #expect(error?.reason == EtcdReason.leaseNotFound)
                #expect(error?.code == .notFound)

                // After a restart the stream is another one.
                let second = try await client.grantLease(seconds: 600)
                try await etcd.kill()
                let away = await failure { _ = try await client.keepAlive(lease: second.id) }
                #expect(away?.code == .unavailable)
                try etcd.restart()
                try await etcd.isUp(client)
                #expect(try await client.keepAlive(lease: second.id) == 600)
                await client.close()
                let closed = await failure { _ = try await client.keepAlive(lease: second.id) }
                #expect(closed?.code == .unavailable)
            }
        }

        @Test func watchesTellWhatTheyAreAskedFor() async throws {
            try await Etcd.run { etcd in
                let client = try await etcd.client()
                let first = try await client.put("w/a", bytes("1"))
                try await client.put("x", bytes("-"))
                try await client.put("w/a", bytes("2"))
                let last = try await client.put("w/b", bytes("3"))
                try await client.delete(.key("w/a"))
                func watch(
                    _ count: Int, _ change: (inout EtcdWatchOptions) -> Void = { _ in }
                ) async throws -> [EtcdChange] {
                    var options = EtcdWatchOptions(startRevision: first.revision)
                    change(&options)
                    return try await client.watch(.prefix("w/"), options) { changes in
                        var seen: [EtcdChange] = []
                        for try await batch in changes {
                            seen += batch.changes
                            if seen.count >= count { break }
                        }
                        return seen
                    }
                }
                func text(_ change: EtcdChange) -> String {
                    switch change {
                    case .put(let pair):
                        String(decoding: pair.key + bytes("=") + pair.value, as: UTF8.self)
                    case .deleted(let key, _): String(decoding: key, as: UTF8.self)
                    }
                }
                #expect(try await watch(4).map(text) == ["w/a=1", "w/a=2", "w/b=3", "w/a"])
                #expect(
                    try await watch(1) { $0.ignoresPuts = true }
                        == [.deleted(key: bytes("w/a"), revision: last.revision + 1)])
                #expect(
                    try await watch(1) {
                        $0.ignoresDeletions = true
                        $0.startRevision = last.revision
                    }.map(text) == ["w/b=3"])
                await client.close()
            }
        }

        @Test func whatIsCompactedIsSaidToBe() async throws {
            try await Etcd.run { etcd in
                let client = try await etcd.client()
                for n in 0..<10 { try await client.put("k", bytes("\(n)")) }
                let revision = try #require(try await client.get("k")?.modRevision)
                try await etcd.administer("kv/compaction", #"{"revision":\#(revision - 1)}"#)
                let error = await failure {
                    try await client.watch(.key("k"), EtcdWatchOptions(startRevision: 2)) {
                        for try await _ in $0 {}
                    }
                }
                #expect(error?.reason == EtcdReason.compacted)
                #expect(error?.metadata["compact_revision"] == "\(revision - 1)")
                let past = await failure { _ = try await client.get(.key("k"), revision: 2) }
                #expect(past?.reason == EtcdReason.compacted)
                #expect(past?.code == .outOfRange)
                let future = await failure {
                    _ = try await client.get(.key("k"), revision: revision + 100)
                }
                #expect(future?.reason == EtcdReason.futureRevision)

                // A register reads what there is and goes on from there.
                let register = EtcdRegister(etcd.options)
                let node = ServiceNode(id: "a", service: "apples", addresses: ["tcp://h:1"])
                try await register.register(node, ttl: .seconds(600))
                #expect(try await register.lookup("apples") == [node])
                await register.close()
                await client.close()
            }
        }

        @Test func anEndpointThatIsGoneIsPassedOver() async throws {
            try await Etcd.run { etcd in
                var options = etcd.options
                options.endpoints = ["127.0.0.1:1", etcd.endpoint, "127.0.0.1:2"]
                let client = EtcdClient(options)
                for n in 0..<20 { try await client.put("k", bytes("\(n)")) }
                #expect(try await client.get("k")?.version == 20)
                await client.close()

                options.endpoints = ["127.0.0.1:1"]
                let nobody = EtcdClient(options)
                let error = await failure { _ = try await nobody.get("k") }
                #expect(error?.code == .unavailable)
                #expect(error?.detail.hasPrefix("etcd at 127.0.0.1:1: ") == true)
                #expect(error?.isRetryable == true)
                await nobody.close()
            }
        }

        @Test func overTLSWithCertificates() async throws {
            let certificates = try await Certificates()
            try await certificates.issue(
                "etcd", "IP:127.0.0.1,DNS:localhost", usage: "serverAuth,clientAuth")
            try await certificates.issue("caller", "DNS:caller", usage: "clientAuth")
            try await Etcd.run(certificates: certificates) { etcd in
                let client = try await etcd.client()
                try await client.put("k", bytes("1"))
                #expect(try await client.get("k")?.value == bytes("1"))
                await client.close()

                let register = EtcdRegister(
                    try EtcdOptions(
                        url: "etcds://\(etcd.endpoint)?ca=\(certificates.ca)"
                            + "&cert=\(certificates.path("caller.pem"))"
                            + "&key=\(certificates.path("caller.key"))"))
                let node = ServiceNode(id: "a", service: "apples", addresses: ["tcp://h:1"])
                try await register.register(node, ttl: .seconds(600))
                #expect(try await register.lookup("apples") == [node])
                await register.close()

                for change: (inout EtcdOptions) -> Void in [
                    {
                        $0.tls?.certificate = nil; $0.tls?.key = nil
                    }, { $0.tls?.ca = .system },
                    { $0.tls = nil },
                ] {
                    var options = etcd.options
                    change(&options)
                    let stranger = EtcdClient(options)
                    let error = await failure { _ = try await stranger.get("k") }
                    #expect(error != nil)
                    await stranger.close()
                }
            }
        }

        /// Turns authentication on, for "root" and for "app", who may use what begins with "/app/".
        private func enableAuthentication(_ etcd: Etcd) async throws {
            for name in ["root", "app"] {
                try await etcd.administer(
                    "auth/user/add", #"{"name":"\#(name)","password":"\#(name)-password"}"#)
                try await etcd.administer("auth/role/add", #"{"name":"\#(name)"}"#)
                try await etcd.administer(
                    "auth/user/grant", #"{"user":"\#(name)","role":"\#(name)"}"#)
            }
            let key = Data("/app/".utf8).base64EncodedString()
            let end = Data("/app0".utf8).base64EncodedString()
            try await etcd.administer(
                "auth/role/grant",
                #"{"name":"app","perm":{"permType":"READWRITE","key":"\#(key)","#
                    + #""range_end":"\#(end)"}}"#)
            try await etcd.administer("auth/enable")
        }

        @Test func whoCallsIsProved() async throws {
            try await Etcd.run { etcd in
                let nobody = try await etcd.client()
                var options = etcd.options
                (options.user, options.password) = ("app", "app-password")
                let app = EtcdClient(options)
                // As long as nobody is asked, a user does no harm.
                try await app.put("/app/k", bytes("1"))
                try await enableAuthentication(etcd)

                let anonymous = await failure { _ = try await nobody.get("/app/k") }
                #expect(anonymous?.reason == EtcdReason.userRequired)
                #expect(anonymous?.code == .unauthenticated)
                options.password = "wrong"
                let wrong = EtcdClient(options)
                let refused = await failure { _ = try await wrong.get("/app/k") }
                #expect(refused?.reason == EtcdReason.wrongPassword)
                #expect(refused?.code == .unauthenticated)
                #expect(try await app.get("/app/k")?.value == bytes("1"))
                let denied = await failure { _ = try await app.get("/other") }
                #expect(denied?.reason == EtcdReason.permissionDenied)
                #expect(denied?.code == .permissionDenied)
                let blind = await failure { try await app.watch(.key("/other")) { _ in } }
                #expect(blind?.reason == EtcdReason.permissionDenied)

                // Tokens are lost with the member that gave them.
                let register = EtcdRegister(
                    try EtcdOptions(
                        url: "etcd://\(etcd.endpoint)/app/nodes?user=app&password=app-password"))
                var node = ServiceNode(id: "a", service: "apples", addresses: ["tcp://h:1"])
                try await register.register(node, ttl: .seconds(600))
                let events = register.watch("apples")
                var iterator = events.makeAsyncIterator()
                #expect(await iterator.next()?.change == .snapshot([node]))
                try await etcd.kill()
                try etcd.restart()
                try await etcd.isUp(nobody)
                #expect(try await app.get("/app/k")?.value == bytes("1"))
                node.weight = 7
                let changed = node
                try await until("it is registered with a new token") {
                    await failure { try await register.register(changed, ttl: .seconds(600)) }
                        == nil
                }
                let seen = try await until("the change is seen with a new token") {
                    let change = await iterator.next()?.change
                    return switch change {
                    case .snapshot(let nodes): nodes.first { $0.weight == 7 }
                    case .updated(let node): node
                    default: nil
                    }
                }
                #expect(seen == node)
                for client in [nobody, wrong, app] { await client.close() }
                await register.close()
            }
        }
    }
}
