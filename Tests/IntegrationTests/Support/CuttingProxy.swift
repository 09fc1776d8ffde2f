import Foundation
import Synchronization

/// A proxy on TCP that ends each connection, both ways, when so many bytes of the server have gone
/// to the client.
final class CuttingProxy: Sendable {
    private let listener: Int32
    private let target: UInt16
    private let limit: Mutex<Int>
    private let isClosed = Mutex(false)
    /// "127.0.0.1:port".
    let endpoint: String

    /// - Parameter endpoint: Of the server, "127.0.0.1:port".
    init(to endpoint: String, limit: Int) throws {
        target = UInt16(endpoint.split(separator: ":").last ?? "") ?? 0
        self.limit = Mutex(limit)
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(listener, generic, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, generic, &length) == 0
            }
        }
        guard listener >= 0, status else { throw TestFailure("the proxy can't listen") }
        self.listener = listener
        self.endpoint = "127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        Thread.detachNewThread { self.accept() }
    }

    private static func address(port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    /// Of connections from now on.
    func setLimit(_ bytes: Int) { limit.withLock { $0 = bytes } }

    func close() {
        isClosed.withLock { $0 = true }
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private func accept() {
        while true {
            let client = Foundation.accept(listener, nil, nil)
            guard client >= 0, !isClosed.withLock({ $0 }) else { break }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Self.address(port: target)
            _ = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            let most = limit.withLock { $0 }
            let pair = Pair(client: client, server: server)
            Thread.detachNewThread { pair.copy(from: client, to: server, most: .max) }
            Thread.detachNewThread { pair.copy(from: server, to: client, most: most) }
        }
        Foundation.close(listener)
    }

    /// Two sockets that are closed when both directions have ended.
    private final class Pair: Sendable {
        private let client: Int32
        private let server: Int32

        init(client: Int32, server: Int32) { (self.client, self.server) = (client, server) }

        deinit {
            Foundation.close(client)
            Foundation.close(server)
        }

        func copy(from: Int32, to: Int32, most: Int) {
            var left = most
            var bytes = [UInt8](repeating: 0, count: 65536)
            while left > 0 {
                let count = read(from, &bytes, min(bytes.count, left))
                guard count > 0, send(to, bytes, count, Int32(MSG_NOSIGNAL)) == count else { break }
                left -= count
            }
            shutdown(client, Int32(SHUT_RDWR))
            shutdown(server, Int32(SHUT_RDWR))
        }
    }
}
