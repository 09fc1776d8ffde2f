extension Client {
    /// How a message is written: as the call says, and otherwise in the form that the program
    /// prefers among those that the service's nodes understand, as the register has it.
    ///
    /// Where nothing is known, or they have no form in common, it is the one that is preferred.
    @inlinable
    nonisolated(nonsending) func form<Writer: MessageWriting>(
        for service: String, writing writer: Writer, _ options: CallOptions
    ) async throws -> Writer.WrittenForm {
        let preferred = try writer.writtenForm(for: options.contentType ?? "")
        guard options.contentType == nil, options.address == nil,
            let understood = await codecs(understoodBy: service),
            !understood.contains(preferred.name)
        else { return preferred }
        return writer.writtenForms.first { understood.contains($0.name) } ?? preferred
    }

    /// The codecs that all nodes of a service understand; nil when that is not known.
    @usableFromInline
    nonisolated(nonsending) func codecs(understoodBy service: String) async -> [String]? {
        if let followed = directory.followed(service) { return followed.codecs }
        // Why nobody can be asked, the call itself will say.
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
