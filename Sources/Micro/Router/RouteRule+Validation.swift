extension RouteRule {
    /// Refuses a rule that says nothing, contradicts itself, or is too large.
    ///
    /// - Parameter path: Where it stands, for the error: "rules[3]".
    /// - Throws: ``MicroError`` — `invalidArgument` that names the rule, the field and what it
    ///   must be, with the place of the field in its metadata.
    public func validate(at path: String = "rule") throws(MicroError) {
        let rule = Report(name: name, path: path)
        try rule.require(
            !name.isEmpty && name.utf8.count <= 255, "name", "must have 1 to 255 bytes")
        try rule.check(service, "service")
        try rule.check(endpoint, "endpoint")
        try rule.check(zone, "callerZone")
        if let version { try rule.check(version, "callerVersion") }
        try rule.require(headers.count <= 64, "headers", "has more than 64 entries")
        for (header, pattern) in headers.sorted(by: { $0.key < $1.key }) {
            try rule.checkHeader(header, "headers[\"\(header)\"]")
            try rule.check(pattern, "headers[\"\(header)\"]")
        }
        try rule.require(
            percent >= 0 && percent <= 100, "percent", "is \(percent): it must be 0 to 100")
        if let key { try rule.checkHeader(key, "key") }
        try rule.require((1...64).contains(to.count), "to", "must have 1 to 64 subsets")
        try rule.require(fallback.count <= 64, "fallback", "has more than 64 subsets")
        for (index, subset) in to.enumerated() { try rule.check(subset, "to[\(index)]") }
        for (index, subset) in fallback.enumerated() {
            try rule.check(subset, "fallback[\(index)]")
            try rule.require(
                !subset.isAll || index == fallback.count - 1, "fallback[\(index)]",
                "is any node: nothing behind it can be reached")
        }
        try rule.require(
            to.contains { $0.weight > 0 }, "to", "has no subset with a weight above 0")
    }

    /// Refuses rules of which one is not valid, or two have one name.
    static func validate(_ rules: [RouteRule]) throws(MicroError) {
        guard rules.count <= countMax else {
            throw .invalid(
                "router", "\(rules.count) rules are more than \(countMax)", at: "rules")
        }
        var names: Set<String> = []
        for (index, rule) in rules.enumerated() {
            try rule.validate(at: "rules[\(index)]")
            try Report(name: rule.name, path: "rules[\(index)]").require(
                names.insert(rule.name).inserted, "name", "is that of a rule before it")
        }
    }

    private static let countMax = 1024
}

/// Says what is wrong with a rule.
private struct Report {
    let name: String
    let path: String

    func require(
        _ isGood: Bool, _ field: String, _ fault: @autoclosure () -> String
    ) throws(MicroError) {
        guard !isGood else { return }
        throw .invalid(
            "router", "rule \(RegisterName.excerpt(name)): \(field) \(fault())",
            at: "\(path).\(field)")
    }

    func check(_ pattern: TextPattern, _ field: String) throws(MicroError) {
        try require(pattern.description.utf8.count <= 1024, field, "has more than 1,024 bytes")
    }

    func check(_ version: VersionPattern, _ field: String) throws(MicroError) {
        try require(
            (1...255).contains(version.description.utf8.count), field, "must have 1 to 255 bytes")
    }

    func checkHeader(_ header: String, _ field: String) throws(MicroError) {
        try require(
            Metadata.isValidName(header) && !header.hasSuffix("-bin"), field,
            "is not the name of a text header: it takes a-z, 0-9, '-', '_' and '.', and does not "
                + "end in \"-bin\"")
    }

    func check(_ subset: NodeSubset, _ field: String) throws(MicroError) {
        if let version = subset.version { try check(version, "\(field).version") }
        if let zone = subset.zone {
            try require(
                (1...255).contains(zone.utf8.count), "\(field).zone", "must have 1 to 255 bytes")
        }
        try require(
            subset.metadata.count <= 64, "\(field).metadata", "has more than 64 entries")
        for (name, pattern) in subset.metadata.sorted(by: { $0.key < $1.key }) {
            try check(pattern, "\(field).metadata[\"\(name)\"]")
        }
        try require(
            (0...1_000_000).contains(subset.weight), "\(field).weight",
            "is \(subset.weight): it must be 0 to 1,000,000")
    }
}
