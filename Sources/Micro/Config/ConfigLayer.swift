/// What one source contributes to a configuration.
public struct ConfigLayer: Sendable {
    enum Content: Sendable {
        case tree(JSONValue, ConfigUnknownKeys)
        case texts([Text])
    }

    /// A text for one place: it is read as what the type has there.
    public struct Text: Sendable, Hashable {
        /// Where it came from, for errors: "environment variable APP_HTTP_PORT".
        public var origin: String

        /// The place; case, underscores, dots and dashes don't matter: "HTTP_PORT" is `http.port`.
        public var key: String

        /// The value.
        public var text: String

        /// Makes a text.
        public init(origin: String, key: String, text: String) {
            self.origin = origin
            self.key = key
            self.text = text
        }
    }

    let content: Content

    /// A tree of values, laid over what is there: objects key by key, everything else as a whole.
    public static func tree(
        _ values: JSONValue, unknownKeys: ConfigUnknownKeys = .refuse
    ) -> ConfigLayer {
        ConfigLayer(content: .tree(values, unknownKeys))
    }

    /// Texts. One whose key is no place of the configuration is ignored.
    public static func texts(_ texts: [Text]) -> ConfigLayer { ConfigLayer(content: .texts(texts)) }
}

/// What happens to keys of a source that the configuration doesn't have.
public enum ConfigUnknownKeys: Sendable, Hashable {
    /// They are an error, which names the nearest key that there is.
    case refuse
    /// They are left out.
    case ignore
}
