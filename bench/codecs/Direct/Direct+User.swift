import Micro

extension Direct {
    struct User: Model, DirectCodable {
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

        init(from value: borrowing DirectReader) throws {
            id = try value.decode("id")
            idStr = try value.decode("idStr")
            name = try value.decode("name")
            screenName = try value.decode("screenName")
            location = try value.decode("location")
            description = try value.decode("description")
            url = try value.decodeIfPresent("url")
            protected = try value.decode("protected")
            followersCount = try value.decode("followersCount")
            friendsCount = try value.decode("friendsCount")
            listedCount = try value.decode("listedCount")
            createdAt = try value.decode("createdAt")
            favouritesCount = try value.decode("favouritesCount")
            utcOffset = try value.decodeIfPresent("utcOffset")
            timeZone = try value.decodeIfPresent("timeZone")
            geoEnabled = try value.decode("geoEnabled")
            verified = try value.decode("verified")
            statusesCount = try value.decode("statusesCount")
            lang = try value.decode("lang")
            profileBackgroundColor = try value.decode("profileBackgroundColor")
            profileImageUrl = try value.decode("profileImageUrl")
            defaultProfile = try value.decode("defaultProfile")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("id", id)
                try $0.encode("idStr", idStr)
                try $0.encode("name", name)
                try $0.encode("screenName", screenName)
                try $0.encode("location", location)
                try $0.encode("description", description)
                try $0.encodeIfPresent("url", url)
                try $0.encode("protected", protected)
                try $0.encode("followersCount", followersCount)
                try $0.encode("friendsCount", friendsCount)
                try $0.encode("listedCount", listedCount)
                try $0.encode("createdAt", createdAt)
                try $0.encode("favouritesCount", favouritesCount)
                try $0.encodeIfPresent("utcOffset", utcOffset)
                try $0.encodeIfPresent("timeZone", timeZone)
                try $0.encode("geoEnabled", geoEnabled)
                try $0.encode("verified", verified)
                try $0.encode("statusesCount", statusesCount)
                try $0.encode("lang", lang)
                try $0.encode("profileBackgroundColor", profileBackgroundColor)
                try $0.encode("profileImageUrl", profileImageUrl)
                try $0.encode("defaultProfile", defaultProfile)
            }
        }
    }

    struct Coordinates: Model, DirectCodable {
        var latitude: Double
        var longitude: Double

        init(from value: borrowing DirectReader) throws {
            latitude = try value.decode("latitude")
            longitude = try value.decode("longitude")
        }

        func encode(to value: inout DirectWriter) throws {
            try value.object {
                try $0.encode("latitude", latitude)
                try $0.encode("longitude", longitude)
            }
        }
    }
}
