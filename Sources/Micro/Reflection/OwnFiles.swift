/// The .proto files of the gRPC services that every server has.
extension FileDescriptor {
    static let ownFiles = [health, reflection("v1"), reflection("v1alpha")].map(\.protobuf)

    static var health: FileDescriptor {
        let package = "grpc.health.v1"
        let check = ".\(package).HealthCheckRequest"
        let response = ".\(package).HealthCheckResponse"

        var checked = MessageDescriptor(
            "HealthCheckResponse",
            [FieldDescriptor("status", 1, .enum, "\(response).ServingStatus")])
        checked.enums = [
            EnumDescriptor(
                "ServingStatus",
                ["UNKNOWN": 0, "SERVING": 1, "NOT_SERVING": 2, "SERVICE_UNKNOWN": 3])
        ]
        var entry = MessageDescriptor(
            "StatusesEntry",
            [FieldDescriptor("key", 1, .string), FieldDescriptor("value", 2, .message, response)])
        entry.isMapEntry = true
        let entries = ".\(package).HealthListResponse.StatusesEntry"
        var listed = MessageDescriptor(
            "HealthListResponse",
            [FieldDescriptor("statuses", 1, .message, entries, label: .repeated)])
        listed.messages = [entry]

        var file = FileDescriptor(name: "grpc/health/v1/health.proto", package: package)
        file.messages = [
            MessageDescriptor("HealthCheckRequest", [FieldDescriptor("service", 1, .string)]),
            checked, MessageDescriptor("HealthListRequest"), listed,
        ]
        file.services = [
            ServiceDescriptor(
                "Health",
                [
                    .init("Check", check, response),
                    .init(
                        "List", ".\(package).HealthListRequest", ".\(package).HealthListResponse"),
                    .init("Watch", check, response, .stream),
                ])
        ]
        return file
    }

    /// - Parameter version: "v1" or "v1alpha", which differ in nothing else.
    static func reflection(_ version: String) -> FileDescriptor {
        let package = "grpc.reflection.\(version)"
        var file = FileDescriptor(
            name: "grpc/reflection/\(version)/reflection.proto", package: package)
        file.messages = [
            reflectionRequest(package),
            MessageDescriptor(
                "ExtensionRequest",
                [
                    FieldDescriptor("containing_type", 1, .string),
                    FieldDescriptor("extension_number", 2, .int32),
                ]),
            reflectionResponse(package),
            MessageDescriptor(
                "FileDescriptorResponse",
                [FieldDescriptor("file_descriptor_proto", 1, .bytes, label: .repeated)]),
            MessageDescriptor(
                "ExtensionNumberResponse",
                [
                    FieldDescriptor("base_type_name", 1, .string),
                    FieldDescriptor("extension_number", 2, .int32, label: .repeated),
                ]),
            MessageDescriptor(
                "ListServiceResponse",
                [
                    FieldDescriptor(
                        "service", 1, .message, ".\(package).ServiceResponse", label: .repeated)
                ]),
            MessageDescriptor("ServiceResponse", [FieldDescriptor("name", 1, .string)]),
            MessageDescriptor(
                "ErrorResponse",
                [
                    FieldDescriptor("error_code", 1, .int32),
                    FieldDescriptor("error_message", 2, .string),
                ]),
        ]
        file.services = [
            ServiceDescriptor(
                "ServerReflection",
                [
                    .init(
                        "ServerReflectionInfo", ".\(package).ServerReflectionRequest",
                        ".\(package).ServerReflectionResponse", .exchange)
                ])
        ]
        return file
    }

    private static func reflectionRequest(_ package: String) -> MessageDescriptor {
        var request = MessageDescriptor(
            "ServerReflectionRequest",
            [
                FieldDescriptor("host", 1, .string),
                FieldDescriptor("file_by_filename", 3, .string, oneof: 0),
                FieldDescriptor("file_containing_symbol", 4, .string, oneof: 0),
                FieldDescriptor(
                    "file_containing_extension", 5, .message, ".\(package).ExtensionRequest",
                    oneof: 0),
                FieldDescriptor("all_extension_numbers_of_type", 6, .string, oneof: 0),
                FieldDescriptor("list_services", 7, .string, oneof: 0),
            ])
        request.oneofs = ["message_request"]
        return request
    }

    private static func reflectionResponse(_ package: String) -> MessageDescriptor {
        func answer(_ name: String, _ number: UInt32, _ type: String) -> FieldDescriptor {
            FieldDescriptor(name, number, .message, ".\(package).\(type)", oneof: 0)
        }
        var response = MessageDescriptor(
            "ServerReflectionResponse",
            [
                FieldDescriptor("valid_host", 1, .string),
                FieldDescriptor(
                    "original_request", 2, .message, ".\(package).ServerReflectionRequest"),
                answer("file_descriptor_response", 4, "FileDescriptorResponse"),
                answer("all_extension_numbers_response", 5, "ExtensionNumberResponse"),
                answer("list_services_response", 6, "ListServiceResponse"),
                answer("error_response", 7, "ErrorResponse"),
            ])
        response.oneofs = ["message_response"]
        return response
    }
}
