internal import CMicroCore

/// What a codec has to say about how its values become those of Swift, and the other way. Shared by
/// all threads.
final class CodingTraits: Sendable {
    let format: mcore_format
    let depthMax: UInt32
    let isSorted: Bool
    let dates: DateCoding
    let userInfo: [CodingUserInfoKey: any Sendable]
    /// Whether what is written was read from a message: what is wrong with it is wrong there.
    let isIncoming: Bool

    init(
        _ format: mcore_format, depthMax: UInt32 = 64, isSorted: Bool = false,
        dates: DateCoding = .deferredToDate, userInfo: [CodingUserInfoKey: any Sendable] = [:],
        isIncoming: Bool = false
    ) {
        self.format = format
        self.depthMax = depthMax
        self.isSorted = isSorted
        self.dates = dates
        self.userInfo = userInfo
        self.isIncoming = isIncoming
    }

    /// Whether the format has bytes of its own, so that they need not be a list of numbers.
    var hasBytes: Bool { format != MCORE_FORMAT_JSON && format != MCORE_FORMAT_FORM }

    /// Whether texts are all that the format has: numbers and truth values are read from them.
    var readsScalarsFromTexts: Bool { format == MCORE_FORMAT_FORM }
}
