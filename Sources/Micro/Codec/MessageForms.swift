/// The choice among forms, the preferred first, by what a header says.
extension Array where Element: MessageForm {
    /// The form that a Content-Type header means; nil when it is none of these.
    ///
    /// `application/grpc+NAME` means the form of that name, `application/grpc` and "" the first
    /// one, and `application/vnd.x+json` means `application/json`.
    package func meant(by header: String) -> Element? {
        if header.isEmpty || header == "application/grpc" { return first }
        guard let parsed = ContentType(header) else { return nil }
        if let charset = parsed[parameter: "charset"], !charset.isUTF8Charset { return nil }
        if parsed.type == "application" {
            if parsed.subtype == "grpc" { return first }
            if parsed.subtype.hasPrefix("grpc+") {
                return first { $0.name == parsed.subtype.dropFirst(5) }
            }
        }
        if let form = first(where: { $0.isNamed(parsed.type, parsed.subtype) }) { return form }
        return parsed.suffix.flatMap { suffix in first { $0.isNamed(parsed.type, suffix) } }
    }

    /// The form for a reply.
    ///
    /// - Parameters:
    ///   - accept: The Accept header; nil and "" accept everything.
    ///   - name: The form of the request, which is used when the caller likes nothing better.
    /// - Throws: ``MicroError`` with `notAcceptable` that lists what can be had, also in
    ///   `metadata["available"]`.
    func negotiated(accept: String?, like name: String?) throws(MicroError) -> Element {
        var candidates = self
        if let name, let index = candidates.firstIndex(where: { $0.name == name }),
            candidates[index].answersInKind
        {
            candidates.insert(candidates.remove(at: index), at: 0)
        }
        guard let accept, !accept.isEmpty else {
            guard let first = candidates.first else { throw candidates.unacceptable(nil) }
            return first
        }
        guard let header = AcceptHeader(accept) else { throw candidates.unacceptable(accept) }
        if header.ranges.isEmpty, let first = candidates.first { return first }
        var best: (form: Element, weight: Int)?
        for candidate in candidates {
            let weight = header.weight(of: candidate.contentType)
            if weight > best?.weight ?? 0 { best = (candidate, weight) }
        }
        guard let best else { throw candidates.unacceptable(accept) }
        return best.form
    }

    package func unsupported(_ sent: String, carrying type: Any.Type) -> MicroError {
        let list = map(\.contentType.essence).joined(separator: ", ")
        guard !list.isEmpty else {
            return .unsupportedMediaType("", "no codec of the service can carry a \(type)")
        }
        return .unsupportedMediaType(
            "", "the content type \"\(sent.shortened(to: 100))\" is not accepted: send \(list)",
            reason: "UNSUPPORTED_MEDIA_TYPE", metadata: ["accepted": list])
    }

    private func unacceptable(_ accept: String?) -> MicroError {
        let list = map(\.contentType.essence).joined(separator: ", ")
        guard !list.isEmpty, let accept else {
            return .notAcceptable("", "no codec of the service can carry the reply")
        }
        return .notAcceptable(
            "", "nothing in \"\(accept.shortened(to: 100))\" can be sent: accept \(list)",
            reason: "NOT_ACCEPTABLE", metadata: ["available": list])
    }
}

extension MessageForm {
    fileprivate func isNamed(_ type: String, _ subtype: String) -> Bool {
        contentType.type == type && contentType.subtype == subtype
    }
}
