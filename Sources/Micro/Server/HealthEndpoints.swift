extension Health {
    static let service = "grpc.health.v1.Health"

    /// `grpc.health.v1.Health`, in protobuf for gRPC clients, and in JSON.
    var endpoints: [ServedEndpoint] {
        let request = WireCoding<HealthCheckRequest>()
        let response = WireCoding<HealthCheckResponse>()
        return [
            .direct("grpc.health.v1.Health/Check", reading: request, writing: response) {
                request, context in
                let status = self.servingStatus(of: request.service)
                guard status != .serviceUnknown else {
                    throw MicroError.notFound(
                        "health.check",
                        "no service \"\(request.service.shortened(to: 100))\" is served here")
                }
                return HealthCheckResponse(status)
            },
            .direct(
                "grpc.health.v1.Health/List", reading: WireCoding<HealthListRequest>(),
                writing: WireCoding<HealthListResponse>()
            ) { _, context in
                HealthListResponse(self.all)
            },
            .stream("grpc.health.v1.Health/Watch", reading: request, writing: response) {
                request, context, out in
                let watch = try self.watch(request.service)
                defer { self.close(watch) }
                var last: ServingStatus?
                // A change and the change back may have become one.
                for try await status in watch.changes where status != last {
                    try await out.send(HealthCheckResponse(status))
                    last = status
                }
            },
        ]
    }
}
