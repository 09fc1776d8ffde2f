extension Metadata {
    /// Takes over the entries of `other`: a name that `other` has loses the values it had here.
    public mutating func merge(_ other: Metadata) {
        guard !other.isEmpty else { return }
        guard !isEmpty else {
            self = other
            return
        }
        let names = Set(other.entries.lazy.map(\.name))
        entries.removeAll { names.contains($0.name) }
        entries += other.entries
    }

    /// This metadata with the entries of `other`, whose values win.
    public func merging(_ other: Metadata) -> Metadata {
        var result = self
        result.merge(other)
        return result
    }

    /// The entries for which `isIncluded` returns true, in their order.
    public func filter(_ isIncluded: (Entry) throws -> Bool) rethrows -> Metadata {
        Metadata(try entries.filter(isIncluded))
    }

    /// The entries whose name is in `names`, for passing on what may be passed on.
    ///
    /// - Parameter names: In any case.
    public func keeping(_ names: some Sequence<String>) -> Metadata {
        guard !isEmpty else { return self }
        let names = Set(names.map { Entry(name: $0, value: .text("")).name })
        return filter { names.contains($0.name) }
    }
}
