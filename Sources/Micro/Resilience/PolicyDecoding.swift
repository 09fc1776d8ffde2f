extension KeyedDecodingContainer {
    /// What stands at the key, or else the default: a policy says only what it changes.
    func value<T: Decodable>(_ key: Key, or standard: T) throws -> T {
        try decodeIfPresent(T.self, forKey: key) ?? standard
    }
}
