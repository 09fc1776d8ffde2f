import Foundation
import Synchronization

/// A name server over UDP on a free port of 127.0.0.1, for a handful of records.
final class DNSStub: Sendable {
    enum Record: Sendable, Hashable {
        case a(UInt8, UInt8, UInt8, UInt8)
        case aaaa([UInt8])
        case srv(priority: UInt16, weight: UInt16, port: UInt16, target: String)
        case txt([String])

        var type: UInt16 {
            switch self {
            case .a: 1
            case .aaaa: 28
            case .srv: 33
            case .txt: 16
            }
        }

        var data: [UInt8] {
            switch self {
            case .a(let a, let b, let c, let d): [a, b, c, d]
            case .aaaa(let bytes): bytes
            case .srv(let priority, let weight, let port, let target):
                [priority, weight, port].flatMap(DNSStub.bytes) + DNSStub.wire(target)
            case .txt(let strings): strings.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            }
        }
    }

    private struct State {
        var records: [String: [Record]] = [:]
        var isSilent = false
        var answersServerFailure = false
        var questions = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let socket: Int32
    /// "127.0.0.1:" and the port.
    let address: String

    init() throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let socket = socket
        let isBound = withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        guard isBound else { throw POSIXError(.EADDRNOTAVAIL) }
        address = "127.0.0.1:\(UInt16(bigEndian: name.sin_port))"
        var pause = timeval(tv_sec: 0, tv_usec: 50_000)
        setsockopt(
            socket, SOL_SOCKET, SO_RCVTIMEO, &pause, socklen_t(MemoryLayout<timeval>.size))
        Thread.detachNewThread { self.serve() }
    }

    func close() { state.withLock { $0.isClosed = true } }

    /// Sets the records of a name; none: it does not exist.
    func set(_ name: String, _ records: [Record]) {
        state.withLock { $0.records[name] = records.isEmpty ? nil : records }
    }

    var isSilent: Bool {
        get { state.withLock { $0.isSilent } }
        set { state.withLock { $0.isSilent = newValue } }
    }
    var answersServerFailure: Bool {
        get { state.withLock { $0.answersServerFailure } }
        set { state.withLock { $0.answersServerFailure = newValue } }
    }
    var questions: Int { state.withLock { $0.questions } }

    // MARK: Messages

    private static func bytes(_ number: UInt16) -> [UInt8] {
        [UInt8(number >> 8), UInt8(number & 0xff)]
    }

    private static func wire(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    private func serve() {
        var buffer = [UInt8](repeating: 0, count: 2048)
        while !state.withLock({ $0.isClosed }) {
            var from = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let count = withUnsafeMutablePointer(to: &from) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(socket, &buffer, buffer.count, 0, $0, &length)
                }
            }
            guard count > 12, let reply = answer(Array(buffer[..<count])) else { continue }
            _ = withUnsafeMutablePointer(to: &from) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(socket, reply, reply.count, 0, $0, length)
                }
            }
        }
        Glibc.close(socket)
    }

    private func answer(_ message: [UInt8]) -> [UInt8]? {
        var labels: [String] = []
        var at = 12
        while message[at] != 0 {
            let end = at + 1 + Int(message[at])
            labels.append(String(decoding: message[(at + 1)..<end], as: UTF8.self))
            at = end
        }
        let type = UInt16(message[at + 1]) << 8 | UInt16(message[at + 2])
        let question = message[12..<(at + 5)]
        let (records, state) = state.withLock { state in
            state.questions += 1
            return (state.records[labels.joined(separator: ".").lowercased()], state)
        }
        if state.isSilent { return nil }
        let found = state.answersServerFailure ? [] : (records ?? []).filter { $0.type == type }
        let rcode: UInt8 = state.answersServerFailure ? 2 : records == nil ? 3 : 0
        var reply = Array(message[..<2]) + [0x81, 0x80 | rcode, 0, 1]
        reply += Self.bytes(UInt16(found.count)) + [0, 0, 0, 0] + question
        for record in found {
            // With no time to live: what a test changes is seen by the next question.
            reply += [0xc0, 12] + Self.bytes(record.type) + [0, 1, 0, 0, 0, 0]
            reply += Self.bytes(UInt16(record.data.count)) + record.data
        }
        return reply
    }
}
