import Testing

@testable import Micro

@Suite struct MetadataTests {
    @Test func namesAreCaseInsensitiveAndStoredLower() {
        var metadata: Metadata = ["X-Request-ID": "7"]
        #expect(metadata["x-request-id"] == "7")
        #expect(metadata["X-REQUEST-ID"] == "7")
        #expect(metadata.map(\.name).first == "x-request-id")
        metadata["X-request-Id"] = "8"
        #expect(metadata.count == 1)
        #expect(metadata["x-request-id"] == "8")
    }

    @Test func lowerCaseIsASCIIOnly() {
        var metadata = Metadata()
        metadata.append("\u{212A}EY", "kelvin")
        #expect(metadata["key"] == nil)
        #expect(metadata.map { Array($0.name.utf8) }.first == Array("\u{212A}ey".utf8))
    }

    @Test func keepsTheOrderOfManyValues() {
        var metadata: Metadata = ["a": "1", "b": "2", "A": "3"]
        metadata.append("a", "4")
        #expect(metadata.map(\.name) == ["a", "b", "a", "a"])
        #expect(metadata.values("a") == ["1", "3", "4"])
        #expect(metadata["a"] == "1")
        metadata["a"] = "5"
        #expect(metadata.values("a") == ["5"])
        #expect(metadata.map(\.name) == ["a", "b"])
        metadata["a"] = nil
        #expect(metadata.map(\.name) == ["b"])
        metadata["absent"] = nil
        metadata.remove("B")
        #expect(metadata.isEmpty)
    }

    @Test func bytesAndTextsAreApart() {
        var metadata = Metadata()
        metadata[binary: "Trace-Bin"] = [0, 255]
        metadata.append("trace-bin", bytes: [1])
        #expect(metadata[binary: "trace-bin"] == [0, 255])
        #expect(metadata.values(binary: "trace-bin") == [[0, 255], [1]])
        #expect(metadata["trace-bin"] == nil)
        #expect(metadata.values("trace-bin").isEmpty)
        metadata[binary: "trace-bin"] = nil
        #expect(metadata.isEmpty)
    }

    /// D-11: what the caller holds can't change under it.
    @Test func copiesAreIndependent() {
        let original: Metadata = ["a": "1"]
        var copy = original
        copy.append("a", "2")
        copy["b"] = "3"
        #expect(original == ["a": "1"])
        #expect(copy == ["a": "1", "a": "2", "b": "3"])
    }

    @Test func mergeReplacesByName() {
        var metadata: Metadata = ["a": "1", "b": "2", "a": "3"]
        metadata.merge(["A": "9", "c": "4", "c": "5"])
        #expect(metadata == ["b": "2", "a": "9", "c": "4", "c": "5"])
        #expect(metadata.merging([:]) == metadata)
        #expect(Metadata().merging(metadata) == metadata)
    }

    @Test func filters() {
        let metadata: Metadata = ["a": "1", "b": "2", "a": "3"]
        #expect(metadata.filter { $0.value == .text("2") } == (["b": "2"] as Metadata))
        #expect(metadata.keeping(["A", "x"]) == ["a": "1", "a": "3"])
        #expect(metadata.keeping([]).isEmpty)
    }

    @Test func emptyLookups() {
        let metadata = Metadata()
        #expect(metadata["a"] == nil)
        #expect(metadata[binary: "a-bin"] == nil)
        #expect(metadata.values("a").isEmpty)
        #expect(metadata.values(binary: "a-bin").isEmpty)
        #expect(metadata.isEmpty && metadata.count == 0 && metadata.byteCount == 0)
    }

    @Test func descriptionHidesSecrets() {
        var metadata: Metadata = [
            "Authorization": "Bearer s3cret", "cookie": "s3cret", "set-cookie": "s3cret",
            "Proxy-Authorization": "s3cret", "tenant": "acme\n",
        ]
        metadata.append("key-bin", bytes: Array("s3cret".utf8))
        let line =
            "[authorization: ***, cookie: ***, set-cookie: ***, proxy-authorization: ***, "
            + #"tenant: acme\n, key-bin: <6 bytes>]"#
        #expect("\(metadata)" == line)
        struct Holder { var metadata: Metadata }
        #expect(!"\(Holder(metadata: metadata))".contains("s3cret"))
        #expect(!"\(Array(metadata))".contains("s3cret"))
    }

    /// Against a plain list of pairs.
    @Test func behavesAsAListOfPairs() throws {
        var random = SeededRandom(seed: 5)
        let names = ["a", "b", "C", "dD", "e-x"]
        for _ in 0..<200 {
            var metadata = Metadata()
            var model: [(String, String)] = []
            for step in 0..<30 {
                let name = names.randomElement(using: &random) ?? ""
                let key = name.lowercased()
                let value = String(step)
                switch Int.random(in: 0...4, using: &random) {
                case 0, 1:
                    metadata.append(name, value)
                    model.append((key, value))
                case 2:
                    metadata[name] = value
                    if let first = model.firstIndex(where: { $0.0 == key }) {
                        model[first].1 = value
                        model = model.enumerated().filter {
                            $0.offset <= first || $0.element.0 != key
                        }
                        .map(\.element)
                    } else {
                        model.append((key, value))
                    }
                case 3:
                    metadata[name] = nil
                    model.removeAll { $0.0 == key }
                default:
                    metadata.merge([name: value])
                    model.removeAll { $0.0 == key }
                    model.append((key, value))
                }
                try #require(metadata.map(\.name) == model.map(\.0))
                try #require(metadata.map(\.value) == model.map { .text($0.1) })
                try #require(metadata[name] == model.first { $0.0 == key }?.1)
            }
        }
    }
}
