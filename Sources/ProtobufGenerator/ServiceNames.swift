internal import SwiftProtobufPluginLibrary

/// What the things of one service are called in Swift.
struct ServiceNames {
    /// The protocol that a server implements.
    let service: String
    /// The struct of typed endpoints.
    let endpoints: String
    /// The struct that calls them.
    let client: String
    /// The functions, in the order of the .proto.
    let methods: [String]

    /// - Parameter prefix: What the types of the file begin with.
    init(_ service: ServiceDescriptor, prefix: String) {
        let name = prefix + service.name
        let others = service.file.services.map(\.name)
        // "GreeterService" is called as it should be, unless that is what "Greeter" becomes.
        let isNamedSo =
            service.name.hasSuffix("Service") && service.name != "Service"
            && !others.contains(String(service.name.dropLast("Service".count)))
        self.service = isNamedSo ? name : "\(name)Service"
        self.endpoints = "\(name)Endpoints"
        self.client = "\(name)Client"
        self.methods = Self.methods(service.methods.map(\.name))
    }

    private static func methods(_ names: [String]) -> [String] {
        let camelCased = names.map(lowerCamelCase)
        return zip(names, camelCased).map { name, short in
            // "Get" and "get", "get_it" and "getIt": then each keeps the name that it has.
            let isUnique = camelCased.count { $0 == short } == 1
            return escaped(isUnique ? short : name)
        }
    }

    /// "SayHello" and "say_hello" become "sayHello", "HTTPGet" becomes "httpGet".
    static func lowerCamelCase(_ name: String) -> String {
        let words = name.split(separator: "_")
        guard let first = words.first else { return name }
        let letters = Array(first)
        var capitals = letters.prefix { $0.isUppercase }.count
        // The last of several begins the next word.
        if capitals > 1, capitals < letters.count, letters[capitals].isLowercase { capitals -= 1 }
        let head = String(letters[..<capitals]).lowercased() + String(letters[capitals...])
        let joined = words.dropFirst().reduce(into: head) { text, word in
            text += word.prefix(1).uppercased() + word.dropFirst()
        }
        return joined.first?.isNumber == true ? "_\(joined)" : joined
    }

    private static let keywords =
        swiftKeywordsUsedInDeclarations
        .union(swiftKeywordsUsedInStatements).union(swiftKeywordsUsedInExpressionsAndTypes)

    /// Names that mean something else even in backticks, or that the generated types use.
    private static let taken: Set<String> = [
        "client", "endpoints", "init", "options", "self", "Self", "service", "Type", "Protocol",
    ]

    static func escaped(_ name: String) -> String {
        if taken.contains(name) { return "\(name)Method" }
        return keywords.contains(name) ? "`\(name)`" : name
    }
}
