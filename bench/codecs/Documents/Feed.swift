/// What a social network answers to a search.
struct Feed: Model {
    var statuses: [Status]
    var searchMetadata: SearchMetadata
}

struct SearchMetadata: Model {
    var completedIn: Double
    var maxId: Int
    var query: String
    var nextResults: String?
    var count: Int
}

struct Status: Model {
    var createdAt: String
    var id: Int
    var idStr: String
    var text: String
    var source: String
    var truncated: Bool
    var inReplyToStatusId: Int?
    var inReplyToScreenName: String?
    var user: User
    var coordinates: Coordinates?
    var retweetedStatus: Retweet?
    var retweetCount: Int
    var favoriteCount: Int
    var entities: Entities
    var favorited: Bool
    var retweeted: Bool
    var possiblySensitive: Bool?
    var lang: String
}

/// A status within a status, which a struct can't be.
final class Retweet: Model {
    let status: Status

    init(_ status: Status) { self.status = status }

    init(from decoder: any Decoder) throws { status = try Status(from: decoder) }

    func encode(to encoder: any Encoder) throws { try status.encode(to: encoder) }

    static func == (one: Retweet, other: Retweet) -> Bool { one.status == other.status }
}

struct User: Model {
    var id: Int
    var idStr: String
    var name: String
    var screenName: String
    var location: String
    var description: String
    var url: String?
    var protected: Bool
    var followersCount: Int
    var friendsCount: Int
    var listedCount: Int
    var createdAt: String
    var favouritesCount: Int
    var utcOffset: Int?
    var timeZone: String?
    var geoEnabled: Bool
    var verified: Bool
    var statusesCount: Int
    var lang: String
    var profileBackgroundColor: String
    var profileImageUrl: String
    var defaultProfile: Bool
}

struct Coordinates: Model {
    var latitude: Double
    var longitude: Double
}

struct Entities: Model {
    var hashtags: [Hashtag]
    var urls: [Link]
    var userMentions: [Mention]
}

struct Hashtag: Model {
    var text: String
    var indices: [Int]
}

struct Link: Model {
    var url: String
    var expandedUrl: String
    var displayUrl: String
    var indices: [Int]
}

struct Mention: Model {
    var screenName: String
    var name: String
    var id: Int
    var idStr: String
    var indices: [Int]
}
