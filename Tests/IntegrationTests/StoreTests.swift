import Foundation
import Micro
import Testing

extension EndToEnd {
    /// Stores that outlive a process, and are shared by several.
    @Suite struct StoreTests {
        private let machine: Machine
        private let url: String

        init() throws {
            machine = try Machine()
            url = "sqlite:\(machine.folder.path)/shop.sqlite"
        }

        private func store(
            _ arguments: String..., input: String = ""
        ) async throws -> Program.Result {
            try await Program.run(
                Installation.microctl, ["store"] + arguments,
                environment: machine.variables.merging(["MICRO_STORE": url]) { $1 },
                folder: machine.folder.path, input: input)
        }

        private func json(_ result: Program.Result) throws -> [String: Any] {
            #expect(result.exit == .code(0), "\(result.errors)")
            return try #require(
                try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
        }

        // MARK: microctl store

        @Test func putAndGet() async throws {
            let put = try await store("put", "a", #"{"x":1}"#)
            #expect(put.exit == .code(0), "\(put.errors)")
            #expect(put.output == "1\n")
            #expect(try await store("get", "a").output == "{\"x\":1}\n")
            let record = try json(try await store("get", "a", "--json"))
            #expect(record["version"] as? Int == 1)
            #expect(record["contentType"] as? String == "application/json")
            #expect(record["encoding"] as? String == "json")
            #expect((record["value"] as? [String: Int]) == ["x": 1])

            let text = try await store(
                "put", "t", "-", "--ttl", "10m", "-H", "by: Ada", "--json", input: "two\nlines")
            #expect(try json(text)["version"] as? Int == 2)
            #expect(try await store("get", "t").output == "two\nlines\n")
            let other = try json(try await store("get", "t", "--json"))
            #expect(other["contentType"] as? String == "text/plain")
            #expect(other["value"] as? String == "two\nlines")
            #expect(other["metadata"] as? [String: [String]] == ["by": ["Ada"]])
            let left = try #require(other["timeToLive"] as? Double)
            #expect(left > 500 && left <= 600)

            _ = try await store("put", "b", "-", input: "\u{1}\u{2}")
            let bytes = try await store("get", "b")
            #expect(bytes.output == "AQI=\n")
            #expect(bytes.errors.contains("2 bytes that are no text"))
            #expect(
                try json(try await store("get", "b", "--json"))["encoding"] as? String == "base64")
        }

        @Test func conditions() async throws {
            #expect(try await store("put", "a", "1", "--if-version", "0").output == "1\n")
            let again = try await store("put", "a", "2", "--if-version", "0")
            #expect(again.exit == .code(74))
            #expect(again.errors.contains("VERSION_CONFLICT"))
            #expect(try await store("put", "a", "2", "--if-version", "1").output == "2\n")
            #expect(try await store("rm", "a", "--if-version", "1").exit == .code(74))
            #expect(try await store("rm", "a", "--if-version", "2").exit == .code(0))
            for arguments in [["rm", "a"], ["get", "a"]] {
                let missing = try await store(arguments[0], arguments[1])
                #expect(missing.exit == .code(69))
                #expect(missing.output.isEmpty)
                #expect(missing.errors.contains("no record \"a\""))
            }
        }

        @Test func lists() async throws {
            for key in ["b/2", "a/1", "b/1", "b/3"] { _ = try await store("put", key, "1") }
            #expect(try await store("ls").output == "a/1\nb/1\nb/2\nb/3\n")
            let page = try await store("ls", "--prefix", "b/", "--limit", "2")
            #expect(page.output == "b/1\nb/2\n")
            #expect(page.errors.contains("--after \"b/2\""))
            let rest = try json(
                try await store("ls", "--prefix", "b/", "--after", "b/2", "--json"))
            #expect(rest["keys"] as? [String] == ["b/3"])
            #expect(rest["next"] == nil || rest["next"] is NSNull)
            #expect(try await store("ls", "--limit", "0").exit == .code(67))
        }

        @Test func mistakes() async throws {
            let nothing = try await machine.microctl("store", "ls")
            #expect(nothing.exit == .code(67))
            #expect(nothing.errors.contains("MICRO_STORE"))
            let unknown = try await store("ls", "--store", "bogus:")
            #expect(unknown.exit == .code(67))
            #expect(unknown.errors.contains("memory, sqlite"))
            try machine.folder.write("hello, this is a text and no store", to: "text")
            let foreign = try await store("ls", "--store", "sqlite:\(machine.folder.path)/text")
            #expect([.code(73), .code(79)].contains(foreign.exit), "\(foreign.exit)")
            #expect(foreign.errors.contains("\(machine.folder.path)/text"))
            #expect(try await store("put", "a", "1", "--ttl", "soon").exit == .code(64))
        }

        @Test func aStoreOfTheUsersOwn() async throws {
            let state = machine.folder.path + "/state/deep"
            func run(_ arguments: String...) async throws -> Program.Result {
                try await Program.run(
                    Installation.microctl, ["store"] + arguments,
                    environment: ["XDG_STATE_HOME": state, "MICRO_STORE": "sqlite:orders"])
            }
            let put = try await run("put", "a", "1")
            #expect(put.exit == .code(0), "\(put.errors)")
            #expect(try await run("get", "a").output == "1\n")
            let folder = state + "/micro"
            let facts = try FileManager.default.attributesOfItem(atPath: folder)
            #expect(facts[.posixPermissions] as? Int == 0o700)
            #expect(FileManager.default.fileExists(atPath: folder + "/orders.sqlite"))
            // A folder that others may look into is refused.
            chmod(folder, 0o755)
            #expect(try await run("get", "a").exit == .code(71))
        }

        // MARK: Several processes

        @Test func aWatchSeesOtherProcesses() async throws {
            let watch = try Program(
                Installation.microctl,
                ["store", "watch", "--prefix", "k", "--limit", "4", "--json", "--store", url])
            _ = try await watch.log(with: "watching k")
            let here = try SQLiteStore(path: "\(machine.folder.path)/shop.sqlite")
            let version = try await here.write("1", at: "k1")
            _ = try await watch.line(with: #""change":"written","key":"k1""#)
            _ = try await store("put", "k2", "2")
            _ = try await watch.line(with: #""change":"written","key":"k2""#)
            try await here.write("no", at: "other")
            #expect(try await here.read("k2") == 2)
            try await here.delete("k1")
            _ = try await store("rm", "k2")
            let result = try await watch.end()
            #expect(result.exit == .code(0))
            let lines = result.output.split(separator: "\n").map(String.init)
            #expect(lines.count == 4)
            #expect(lines[0].contains("\"revision\":\(version)"))
            #expect(lines.suffix(2).allSatisfy { $0.contains("\"change\":\"deleted\"") })

            // Later, from where somebody else has ended.
            let again = try await store(
                "watch", "--prefix", "k", "--from", "\(version)", "--limit", "4")
            #expect(again.output.split(separator: "\n").count == 4)
            #expect(again.output.hasPrefix("\(version) written k1\n"))
            await here.close()
        }

        @Test func aKilledWriterLeavesWhatHadReturned() async throws {
            let changes = try SQLiteStore(path: "\(machine.folder.path)/shop.sqlite")
            for round in 0..<5 {
                let put = try Program(
                    Installation.microctl, ["store", "put", "k\(round)", "-", "--store", url])
                try put.write("unfinished")
                let version = try await store("put", "done\(round)", "1").output
                put.send(SIGKILL)
                _ = try await put.end()
                #expect(try await changes.record("k\(round)") == nil)
                #expect(
                    try await changes.record("done\(round)").map { "\($0.version)\n" } == version)
            }
            await changes.close()
        }
    }
}
