import Foundation

/// What the command line says; every program of the suite takes the same options.
struct Options {
    enum Codec: String { case bytes, protobuf }
    enum Kind: String { case unary, chat }

    var address = "127.0.0.1"
    var port = 0
    var codec = Codec.protobuf

    var loops = 1
    var certificate: String?
    var key = ""

    var kind = Kind.unary
    var connections = 1
    var streams = 1
    var seconds = 5.0
    var warmup = 1.0
    var size = 32

    init(command: String, words: [String]) {
        var words = words[...]
        while let name = words.popFirst() {
            let known = command == "serve" ? readServer(name, &words) : readClient(name, &words)
            if !known { refuse("\(name): not supported") }
        }
    }

    private mutating func readServer(_ name: String, _ words: inout ArraySlice<String>) -> Bool {
        switch name {
        case "--address": address = value(name, &words) { $0 }
        case "--port": port = value(name, &words) { Int($0, in: 0...65535) }
        case "--codec": codec = value(name, &words, Codec.init(rawValue:))
        case "--loops": loops = value(name, &words) { Int($0, in: 1...1024) }
        case "--tls":
            certificate = value(name, &words) { $0 }
            key = value(name, &words) { $0 }
        default: return false
        }
        return true
    }

    private mutating func readClient(_ name: String, _ words: inout ArraySlice<String>) -> Bool {
        switch name {
        case "--port": port = value(name, &words) { Int($0, in: 1...65535) }
        case "--codec": codec = value(name, &words, Codec.init(rawValue:))
        case "--kind": kind = value(name, &words, Kind.init(rawValue:))
        case "--connections": connections = value(name, &words) { Int($0, in: 1...100_000) }
        case "--streams": streams = value(name, &words) { Int($0, in: 1...100_000) }
        case "--seconds": seconds = value(name, &words) { Double($0, in: 0.01...1e6) }
        case "--warmup": warmup = value(name, &words) { Double($0, in: 0...1e6) }
        case "--size": size = value(name, &words) { Int($0, in: 6...(1 << 22)) }
        default: return false
        }
        return true
    }
}

/// Says what is wrong with the command line and ends with status 2: the caller skips what it asked.
func refuse(_ why: String) -> Never {
    FileHandle.standardError.write(Data("grpc-swift-2: \(why)\n".utf8))
    exit(2)
}

private func value<Value>(
    _ name: String, _ words: inout ArraySlice<String>, _ read: (String) -> Value?
) -> Value {
    guard let word = words.popFirst() else { refuse("\(name) needs a value") }
    guard let value = read(word) else { refuse("\(name) \(word): not supported") }
    return value
}

extension LosslessStringConvertible where Self: Comparable {
    fileprivate init?(_ text: String, in range: ClosedRange<Self>) {
        guard let value = Self(text), range.contains(value) else { return nil }
        self = value
    }
}
