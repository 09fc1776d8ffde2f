extension Client {
    /// How a message is written: as the call says, and otherwise in the form that the program
    /// prefers among those that the service's nodes understand, as far as they are known.
    ///
    /// Where nothing is known, or they have no form in common, it is the one that is preferred.
    @inlinable
    func form<Writer: MessageWriting>(
        for service: String, writing writer: Writer, _ options: CallOptions
    ) throws -> Writer.WrittenForm {
        try form(writing: writer, options, understood: codecsKnown(of: service))
    }

    @inlinable
    func form<Writer: MessageWriting>(
        writing writer: Writer, _ options: CallOptions, understood: [String]?
    ) throws -> Writer.WrittenForm {
        let preferred = try writer.writtenForm(for: options.contentType ?? "")
        guard options.contentType == nil, options.address == nil, let understood,
            !understood.contains(preferred.name)
        else { return preferred }
        return writer.writtenForms.first { understood.contains($0.name) } ?? preferred
    }

    /// The form for a call that was refused because of the one that it had; nil: there is no other.
    ///
    /// The first call of a service goes out before anything is known of it. Nodes that don't
    /// understand its form have done nothing of it.
    @inlinable
    nonisolated(nonsending) func otherForm<Writer: MessageWriting>(
        than name: String, after error: MicroError, for service: String, writing writer: Writer,
        _ options: CallOptions
    ) async throws -> Writer.WrittenForm? {
        guard error.code == .unsupportedMediaType else { return nil }
        let other = try form(writing: writer, options, understood: await codecs(of: service))
        return other.name == name ? nil : other
    }

    /// The codecs that all nodes of a service understand; nil when that is not known.
    @usableFromInline
    func codecsKnown(of service: String) -> [String]? { directory.followed(service)?.codecs }

    @usableFromInline
    nonisolated(nonsending) func codecs(of service: String) async -> [String]? {
        if let known = codecsKnown(of: service) { return known }
        return try? await directory.resolve(service).codecsInCommon
    }
}

extension Resolution {
    /// The codecs that all nodes understand that say so; nil when none does.
    var codecsInCommon: [String]? {
        let told = nodes.map(\.codecs).filter { !$0.isEmpty }
        guard let first = told.first else { return nil }
        return first.filter { codec in told.allSatisfy { $0.contains(codec) } }
    }
}
