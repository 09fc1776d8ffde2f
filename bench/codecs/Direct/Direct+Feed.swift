import Micro

extension Direct {
    struct Feed: Model, DirectCodable {
        var statuses: [Status]
        var searchMetadata: SearchMetadata

        init(from value: borrowing DirectReader) throws {
            statuses = try value.decode("statuses")
            searchMetadata = try value.decode("searchMetadata")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("statuses", statuses)
                try $0.encode("searchMetadata", searchMetadata)
            }
        }
    }

    struct SearchMetadata: Model, DirectCodable {
        var completedIn: Double
        var maxId: Int
        var query: String
        var nextResults: String?
        var count: Int

        init(from value: borrowing DirectReader) throws {
            completedIn = try value.decode("completedIn")
            maxId = try value.decode("maxId")
            query = try value.decode("query")
            nextResults = try value.decodeIfPresent("nextResults")
            count = try value.decode("count")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("completedIn", completedIn)
                try $0.encode("maxId", maxId)
                try $0.encode("query", query)
                try $0.encodeIfPresent("nextResults", nextResults)
                try $0.encode("count", count)
            }
        }
    }

    struct Status: Model, DirectCodable {
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

        init(from value: borrowing DirectReader) throws {
            createdAt = try value.decode("createdAt")
            id = try value.decode("id")
            idStr = try value.decode("idStr")
            text = try value.decode("text")
            source = try value.decode("source")
            truncated = try value.decode("truncated")
            inReplyToStatusId = try value.decodeIfPresent("inReplyToStatusId")
            inReplyToScreenName = try value.decodeIfPresent("inReplyToScreenName")
            user = try value.decode("user")
            coordinates = try value.decodeIfPresent("coordinates")
            retweetedStatus = try value.decodeIfPresent("retweetedStatus")
            retweetCount = try value.decode("retweetCount")
            favoriteCount = try value.decode("favoriteCount")
            entities = try value.decode("entities")
            favorited = try value.decode("favorited")
            retweeted = try value.decode("retweeted")
            possiblySensitive = try value.decodeIfPresent("possiblySensitive")
            lang = try value.decode("lang")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("createdAt", createdAt)
                try $0.encode("id", id)
                try $0.encode("idStr", idStr)
                try $0.encode("text", text)
                try $0.encode("source", source)
                try $0.encode("truncated", truncated)
                try $0.encodeIfPresent("inReplyToStatusId", inReplyToStatusId)
                try $0.encodeIfPresent("inReplyToScreenName", inReplyToScreenName)
                try $0.encode("user", user)
                try $0.encodeIfPresent("coordinates", coordinates)
                try $0.encodeIfPresent("retweetedStatus", retweetedStatus)
                try $0.encode("retweetCount", retweetCount)
                try $0.encode("favoriteCount", favoriteCount)
                try $0.encode("entities", entities)
                try $0.encode("favorited", favorited)
                try $0.encode("retweeted", retweeted)
                try $0.encodeIfPresent("possiblySensitive", possiblySensitive)
                try $0.encode("lang", lang)
            }
        }
    }

    final class Retweet: Model, DirectCodable {
        let status: Status

        init(from decoder: any Decoder) throws { status = try Status(from: decoder) }

        func encode(to encoder: any Encoder) throws { try status.encode(to: encoder) }

        init(from value: borrowing DirectReader) throws { status = try Status(from: value) }

        func encode(to value: inout DirectWriter) throws { try status.encode(to: &value) }

        static func == (one: Retweet, other: Retweet) -> Bool { one.status == other.status }
    }

    struct Entities: Model, DirectCodable {
        var hashtags: [Hashtag]
        var urls: [Link]
        var userMentions: [Mention]

        init(from value: borrowing DirectReader) throws {
            hashtags = try value.decode("hashtags")
            urls = try value.decode("urls")
            userMentions = try value.decode("userMentions")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("hashtags", hashtags)
                try $0.encode("urls", urls)
                try $0.encode("userMentions", userMentions)
            }
        }
    }

    struct Hashtag: Model, DirectCodable {
        var text: String
        var indices: [Int]

        init(from value: borrowing DirectReader) throws {
            text = try value.decode("text")
            indices = try value.decode("indices")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("text", text)
                try $0.encode("indices", indices)
            }
        }
    }

    struct Link: Model, DirectCodable {
        var url: String
        var expandedUrl: String
        var displayUrl: String
        var indices: [Int]

        init(from value: borrowing DirectReader) throws {
            url = try value.decode("url")
            expandedUrl = try value.decode("expandedUrl")
            displayUrl = try value.decode("displayUrl")
            indices = try value.decode("indices")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("url", url)
                try $0.encode("expandedUrl", expandedUrl)
                try $0.encode("displayUrl", displayUrl)
                try $0.encode("indices", indices)
            }
        }
    }

    struct Mention: Model, DirectCodable {
        var screenName: String
        var name: String
        var id: Int
        var idStr: String
        var indices: [Int]

        init(from value: borrowing DirectReader) throws {
            screenName = try value.decode("screenName")
            name = try value.decode("name")
            id = try value.decode("id")
            idStr = try value.decode("idStr")
            indices = try value.decode("indices")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("screenName", screenName)
                try $0.encode("name", name)
                try $0.encode("id", id)
                try $0.encode("idStr", idStr)
                try $0.encode("indices", indices)
            }
        }
    }
}
