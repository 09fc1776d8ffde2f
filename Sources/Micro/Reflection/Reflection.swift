/// What a server tells about itself by the gRPC reflection protocol.
struct Reflection: Sendable {
    /// The names by which gRPC clients know what is served.
    let services: [String]
    let index: DescriptorIndex

    /// - Parameter sent: The names of the files that the caller has by now.
    func answer(_ request: ReflectionRequest, sent: inout Set<String>) -> ReflectionResponse {
        ReflectionResponse(answer(request.question, &sent), to: request)
    }

    private func answer(
        _ question: ReflectionRequest.Question?, _ sent: inout Set<String>
    ) -> ReflectionResponse.Answer {
        switch question {
        case .services: return .services(services)
        case .file(let name):
            return files(name, &sent) ?? missing("file \"\(name.shortened(to: 100))\"")
        case .fileContaining(let symbol):
            return files(index.file(containing: symbol.withoutLeadingDot), &sent)
                ?? missing("symbol \"\(symbol.shortened(to: 100))\"")
        case .fileContainingExtension(let number, let type):
            return files(index.file(containing: number, of: type.withoutLeadingDot), &sent)
                ?? missing("extension \(number) of \"\(type.shortened(to: 100))\"")
        case .extensions(let type):
            guard let numbers = index.extensions(of: type.withoutLeadingDot) else {
                return missing("message \"\(type.shortened(to: 100))\"")
            }
            return .extensions(numbers, of: type)
        case nil:
            return .failure(
                rpcCode: MicroError.Code.invalidArgument.rpc,
                message: "nothing is asked that is known here")
        }
    }

    private func files(
        _ name: String?, _ sent: inout Set<String>
    ) -> ReflectionResponse.Answer? {
        name.flatMap { index.files(from: $0, sent: &sent) }.map { .files($0) }
    }

    private func missing(_ what: String) -> ReflectionResponse.Answer {
        .failure(
            rpcCode: MicroError.Code.notFound.rpc, message: "no \(what) is described here")
    }
}
