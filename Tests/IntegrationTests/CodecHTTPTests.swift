import Foundation
import Logging
import Micro
import Testing

extension EndToEnd {
    /// One handler, called by curl with each content type.
    @Suite struct CodecHTTPTests {
        private struct Order: Codable, Sendable, Equatable {
            var id: Int
            var item: String
            var tags: [String]
            var express: Bool
            var price: Double
        }

        private static let order = Order(
            id: 7, item: "caf\u{E9} & more", tags: ["a", "b"], express: true, price: 12.5)
        private static let codecs: [any Codec] = Codecs.standard + [FormCodec()]
        private static let versions = ["--http1.1", "--http2-prior-knowledge"]

        private func withOrders(_ body: (String) async throws -> Void) async throws {
            var options = ServiceOptions()
            options.register = MemoryRegister()
            options.server.addresses = ["127.0.0.1:0"]
            options.drainDelay = .zero
            options.logger.logLevel = .critical
            options.codecs = Codecs(CodecHTTPTests.codecs)
            let service = MicroService(name: "kitchen", version: "1", options: options)
            service.handle("Kitchen.Order") { (order: Order, context) in
                var order = order
                order.price *= 2
                return order
            }
            service.handleRaw("Kitchen.Image", contentType: .png) { request, reply, context in
                reply.append(request)
            }
            try await service.start()
            do {
                let address = try #require(service.addresses.first)
                try await body("http://\(address.dropFirst("tcp://".count))/kitchen")
            } catch {
                try await service.stop()
                throw error
            }
            try await service.stop()
        }

        /// Sends the order as `codec` writes it, and reads the answer with the codec that it names.
        private func answer(
            _ version: String, _ url: String, _ codec: any Codec, accept: String?
        ) async throws -> (order: Order, contentType: String) {
            let folder = try TestFolder()
            let bytes = try codec.encode(CodecHTTPTests.order)
            try Data(bytes).write(to: URL(fileURLWithPath: "\(folder.path)/order"))
            var arguments = [
                version, "-H", "Content-Type: \(codec.contentType)", "--data-binary",
                "@\(folder.path)/order",
            ]
            if let accept { arguments += ["-H", "Accept: \(accept)"] }
            let answer = try await curl(arguments + ["\(url)/Kitchen.Order"])
            #expect(answer.status == 200, "\(codec.name): \(answer.heads)")
            let contentType = answer.headers["content-type"] ?? ""
            let reader = try Codecs(CodecHTTPTests.codecs).codec(
                for: contentType, carrying: Order.self)
            return (try reader.decode(Order.self, from: answer.bytes.span.bytes), contentType)
        }

        @Test(arguments: versions)
        func oneHandlerSpeaksThemAll(version: String) async throws {
            var doubled = CodecHTTPTests.order
            doubled.price *= 2
            try await withOrders { url in
                for codec in CodecHTTPTests.codecs where codec.canCarry(Order.self) {
                    let own = try await answer(version, url, codec, accept: nil)
                    #expect(own.order == doubled, "\(codec.name)")
                    let expected = codec.answersInKind ? "\(codec.contentType)" : "application/json"
                    #expect(own.contentType == expected)
                    for other in CodecHTTPTests.codecs where other.canCarry(Order.self) {
                        let accept = "text/html, \(other.contentType);q=0.9, */*;q=0.1"
                        let asked = try await answer(version, url, codec, accept: accept)
                        #expect(asked.order == doubled, "\(codec.name) to \(other.name)")
                        #expect(asked.contentType == "\(other.contentType)")
                    }
                }
            }
        }

        @Test(arguments: versions)
        func othersAreToldWhatIsAccepted(version: String) async throws {
            let accepted = [
                "application/json", "application/msgpack", "application/cbor",
                "application/x-www-form-urlencoded",
            ]
            try await withOrders { url in
                let wrong = try await curl(
                    version, "-H", "Content-Type: application/xml", "-d", "<a/>",
                    "\(url)/Kitchen.Order")
                #expect(wrong.status == 415)
                let unwanted = try await curl(
                    version, "--json", "{}", "-H", "Accept: image/png", "\(url)/Kitchen.Order")
                #expect(unwanted.status == 406)
                for type in accepted {
                    #expect(wrong.body.contains(type), "\(wrong.body)")
                    #expect(unwanted.body.contains(type), "\(unwanted.body)")
                }
            }
        }

        @Test(arguments: versions)
        func errorsNameTheField(version: String) async throws {
            try await withOrders { url in
                let answer = try await curl(
                    version, "-H", "Content-Type: application/json", "-d",
                    #"{"id":1,"item":"x","tags":["a",7],"express":false,"price":1}"#,
                    "\(url)/Kitchen.Order")
                #expect(answer.status == 400)
                #expect(answer.body.contains("tags[1]"), "\(answer.body)")
                let form = try await curl(
                    version, "-d", "id=1&item=x&tags=a&express=maybe&price=1",
                    "\(url)/Kitchen.Order")
                #expect(form.status == 400)
                #expect(form.body.contains("express"), "\(form.body)")
            }
        }

        @Test(arguments: versions)
        func aRawHandlerHasAContentTypeOfItsOwn(version: String) async throws {
            try await withOrders { url in
                let answer = try await curl(
                    version, "-H", "Content-Type: image/png", "-d", "pixels",
                    "\(url)/Kitchen.Image")
                #expect(answer.status == 200, "\(answer.body)")
                #expect(answer.headers["content-type"] == "image/png")
                #expect(answer.body == "pixels")
                let other = try await curl(
                    version, "--json", "1", "\(url)/Kitchen.Image")
                #expect(other.status == 415)
                #expect(other.body.contains("image/png"), "\(other.body)")
            }
        }
    }
}

extension ContentType {
    fileprivate static var png: ContentType {
        ContentType("image/png") ?? .bytes
    }
}
