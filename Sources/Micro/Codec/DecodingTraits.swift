/// What a codec has to say about how its values become those of Swift. Shared by all threads.
final class DecodingTraits: Sendable {
    /// Texts are all that the format has: numbers and truth values are read from them.
    let readsScalarsFromTexts: Bool
    let dates: DateCoding
    let userInfo: [CodingUserInfoKey: any Sendable]

    init(
        readsScalarsFromTexts: Bool = false, dates: DateCoding = .deferredToDate,
        userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) {
        self.readsScalarsFromTexts = readsScalarsFromTexts
        self.dates = dates
        self.userInfo = userInfo
    }
}
