internal import SwiftProtobufPluginLibrary

/// Writes one service: what a server implements, how it is served, its endpoints, and its client.
struct ServicePrinter {
    fileprivate struct Method {
        let name: String
        let endpoint: String
        let request: String
        let reply: String
        let streamsRequests: Bool
        let streamsReplies: Bool
        let comments: String
    }

    private let fullName: String
    private let comments: String
    private let names: ServiceNames
    private let methods: [Method]
    /// "public ".
    private let access: String

    init(
        _ service: ServiceDescriptor, _ names: ServiceNames, _ namer: SwiftProtobufNamer,
        _ visibility: GeneratorOptions.Visibility
    ) {
        self.fullName = service.fullName
        self.comments = service.protoSourceCommentsWithDeprecation()
        self.names = names
        self.access = visibility.modifier
        self.methods = zip(service.methods, names.methods).map { method, name in
            Method(
                name: name, endpoint: "\(service.fullName)/\(method.name)",
                request: namer.fullName(message: method.inputType),
                reply: namer.fullName(message: method.outputType),
                streamsRequests: method.clientStreaming, streamsReplies: method.serverStreaming,
                comments: method.protoSourceCommentsWithDeprecation())
        }
    }

    func print(to printer: inout CodePrinter) {
        printService(&printer)
        printHost(&printer)
        printEndpoints(&printer)
        printClient(&printer)
    }

    /// The comments of the .proto, or `otherwise` when there are none.
    private func document(_ printer: inout CodePrinter, _ comments: String, _ otherwise: String) {
        if comments.isEmpty {
            printer.print("/// \(otherwise)")
        } else {
            printer.print(comments, newlines: false)
        }
    }

    // MARK: The server

    private func printService(_ printer: inout CodePrinter) {
        printer.print("")
        document(&printer, comments, "What serves `\(fullName)`.")
        printer.print("\(access)protocol \(names.service): Swift.Sendable {")
        printer.withIndentation { printer in
            for method in methods {
                document(&printer, method.comments, "Answers `\(method.endpoint)`.")
                printer.print(
                    "func \(method.name)(\(method.parameters)) async throws\(method.result)")
            }
        }
        printer.print("}")
    }

    private func printHost(_ printer: inout CodePrinter) {
        printer.print("", "extension Micro.EndpointHost {")
        printer.withIndentation { printer in
            printer.print(
                "/// Serves `\(fullName)`.",
                "\(access)func serve(_ service: any \(names.service)) {")
            printer.withIndentation { printer in
                printer.print("describe(base64: \(FileDescriptions.name))")
                for method in methods {
                    printer.print("\(method.verb.host)(\"\(method.endpoint)\") {")
                    printer.printIndented(
                        "(\(method.closureParameters)) async throws in",
                        "try await service.\(method.name)(\(method.arguments))")
                    printer.print("}")
                }
            }
            printer.print("}")
        }
        printer.print("}")
    }

    // MARK: The callers

    private func printEndpoints(_ printer: inout CodePrinter) {
        printer.print(
            "", "/// The endpoints of `\(fullName)`.",
            "\(access)struct \(names.endpoints): Swift.Sendable {")
        printer.withIndentation { printer in
            printer.print(
                "/// The service that has them, as it stands in the register.",
                "\(access)let service: Swift.String", "",
                "/// - Parameter service: The service that has them, as it stands in the register.",
                "\(access)init(service: Swift.String) { self.service = service }")
            for method in methods {
                printer.print("")
                document(&printer, method.comments, "`\(method.endpoint)`")
                printer.print(
                    "\(access)var \(method.name): Micro.Endpoint<\(method.request), \(method.reply)> {"
                )
                printer.printIndented("Micro.Endpoint(service, \"\(method.endpoint)\")")
                printer.print("}")
            }
        }
        printer.print("}")
    }

    private func printClient(_ printer: inout CodePrinter) {
        printer.print(
            "", "/// Calls `\(fullName)`.",
            "\(access)struct \(names.client): Swift.Sendable {")
        printer.withIndentation { printer in
            printer.print(
                "/// What the calls go through.", "\(access)let client: Micro.Client",
                "/// What is called.", "\(access)let endpoints: \(names.endpoints)",
                "/// What calls do differently that don't say so themselves.",
                "\(access)var options: Micro.CallOptions", "",
                "/// - Parameters:", "///   - client: What the calls go through.",
                "///   - service: The service as it stands in the register.",
                "///   - options: What calls do differently that don't say so themselves.",
                "\(access)init(")
            printer.printIndented(
                "_ client: Micro.Client, service: Swift.String,",
                "options: Micro.CallOptions = Micro.CallOptions()")
            printer.print(") {")
            printer.printIndented(
                "self.client = client", "self.endpoints = \(names.endpoints)(service: service)",
                "self.options = options")
            printer.print("}")
            for method in methods {
                printer.print("")
                document(&printer, method.comments, "Calls `\(method.endpoint)`.")
                printCall(&printer, method)
            }
        }
        printer.print("}")
    }

    private func printCall(_ printer: inout CodePrinter, _ method: Method) {
        let value =
            method.streamsRequests && method.streamsReplies ? "<MicroValue: Swift.Sendable>" : ""
        printer.print("\(access)func \(method.name)\(value)(")
        if method.streamsRequests {
            printer.printIndented("options: Micro.CallOptions? = nil,", "_ body: \(method.body)")
        } else {
            printer.printIndented(
                "_ request: \(method.request), options: Micro.CallOptions? = nil")
        }
        printer.print(") async throws -> \(method.called) {")
        let message = method.streamsRequests ? "" : " request,"
        printer.printIndented(
            "try await client.\(method.verb.client)("
                + "endpoints.\(method.name),\(message) options: options ?? self.options"
                + (method.streamsRequests ? ", body)" : ")"))
        printer.print("}")
    }
}

extension ServicePrinter.Method {
    /// What the library calls such an endpoint on the two sides.
    fileprivate var verb: (host: String, client: String) {
        switch (streamsRequests, streamsReplies) {
        case (false, false): ("handle", "call")
        case (false, true): ("stream", "stream")
        case (true, false): ("collect", "collect")
        case (true, true): ("exchange", "exchange")
        }
    }

    // What a server's function takes: as the closures of the library do.

    fileprivate var parameters: String {
        streamsRequests
            ? "_ incoming: Micro.Inbound<\(request)>, _ context: Micro.Context\(outParameter("_ "))"
            : "_ request: \(request), _ context: Micro.Context\(outParameter("_ "))"
    }

    fileprivate var closureParameters: String {
        streamsRequests
            ? "incoming: Micro.Inbound<\(request)>, context: Micro.Context\(outParameter(""))"
            : "request: \(request), context: Micro.Context\(outParameter(""))"
    }

    private func outParameter(_ label: String) -> String {
        streamsReplies ? ", \(label)out: Micro.Outbound<\(reply)>" : ""
    }

    fileprivate var arguments: String {
        (streamsRequests ? "incoming, context" : "request, context")
            + (streamsReplies ? ", out" : "")
    }

    fileprivate var result: String { streamsReplies ? "" : " -> \(reply)" }

    // What a client's function takes and returns.

    fileprivate var body: String {
        let parameters =
            "Micro.Outbound<\(request)>" + (streamsReplies ? ", Micro.Inbound<\(reply)>" : "")
        return "@escaping @Sendable (\(parameters)) async throws -> "
            + (streamsReplies ? "MicroValue" : "Swift.Void")
    }

    fileprivate var called: String {
        switch (streamsRequests, streamsReplies) {
        case (_, false): reply
        case (false, true): "Micro.Inbound<\(reply)>"
        case (true, true): "MicroValue"
        }
    }
}
