/// `grpc.health.v1.HealthCheckResponse.ServingStatus`
package enum ServingStatus: String, Sendable, Codable {
    case unknown = "UNKNOWN"
    case serving = "SERVING"
    case notServing = "NOT_SERVING"
    case serviceUnknown = "SERVICE_UNKNOWN"

    private static let inOrder = [unknown, serving, notServing, serviceUnknown]

    var number: UInt64 { UInt64(Self.inOrder.firstIndex(of: self) ?? 0) }

    /// A number that was invented later is `unknown`.
    init(number: UInt64) {
        self = number < Self.inOrder.count ? Self.inOrder[Int(number)] : .unknown
    }
}

/// `grpc.health.v1.HealthCheckRequest`
package struct HealthCheckRequest: WireMessage, Codable {
    /// "" asks for the whole server.
    package var service = ""

    package init(service: String) { self.service = service }

    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        service = try fields.decodeIfPresent(String.self, forKey: .service) ?? ""
    }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            if case (1, .bytes(let range)) = (field.number, field.value) {
                service = try reader.string(range)
            }
        }
    }

    package func write(to writer: inout ProtobufWriter) {
        if !service.isEmpty { writer.string(1, service) }
    }
}

/// `grpc.health.v1.HealthCheckResponse`
package struct HealthCheckResponse: WireMessage, Codable {
    package var status = ServingStatus.unknown

    init(_ status: ServingStatus) { self.status = status }

    package init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            if case (1, .varint(let number)) = (field.number, field.value) {
                status = ServingStatus(number: number)
            }
        }
    }

    package func write(to writer: inout ProtobufWriter) {
        if status != .unknown { writer.varint(1, status.number) }
    }
}

/// `grpc.health.v1.HealthListRequest`
struct HealthListRequest: WireMessage, Codable {
    init() {}

    init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while try reader.next() != nil {}
    }

    func write(to writer: inout ProtobufWriter) {}
}

/// `grpc.health.v1.HealthListResponse`
struct HealthListResponse: WireMessage, Codable {
    var statuses: [String: HealthCheckResponse] = [:]

    init(_ statuses: [String: ServingStatus]) {
        self.statuses = statuses.mapValues(HealthCheckResponse.init)
    }

    init(protobuf reader: inout ProtobufReader) throws(ProtobufError) {
        while let field = try reader.next() {
            guard case (1, .bytes(let range)) = (field.number, field.value) else { continue }
            var entry = reader.message(range)
            var (key, value) = ("", HealthCheckResponse(.unknown))
            while let part = try entry.next() {
                switch (part.number, part.value) {
                case (1, .bytes(let range)): key = try entry.string(range)
                case (2, .bytes(let range)): value = try entry.nested(range)
                default: break
                }
            }
            statuses[key] = value
        }
    }

    func write(to writer: inout ProtobufWriter) {
        for (key, value) in statuses.sorted(by: { $0.key < $1.key }) {
            writer.message(1) { entry in
                entry.string(1, key)
                entry.message(2) { value.write(to: &$0) }
            }
        }
    }
}
