extension Reflection {
    /// What asks about the server itself, in both versions of the protocol.
    static let services = [
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
    ]

    var endpoints: [ServedEndpoint] {
        Reflection.services.map { service in
            .exchange(
                EndpointName("\(service)/ServerReflectionInfo"),
                reading: WireCoding<ReflectionRequest>(),
                writing: WireCoding<ReflectionResponse>()
            ) { requests, context, out in
                var sent: Set<String> = []
                for try await request in requests {
                    try await out.send(answer(request, sent: &sent))
                }
            }
        }
    }
}
