extension Feed {
    static func make(_ random: inout Randomness, count: Int) -> Feed {
        Feed(
            statuses: (0..<count).map { _ in
                Status.make(&random, retweets: random.number(0...2) == 0)
            },
            searchMetadata: SearchMetadata(
                completedIn: 0.087, maxId: 505_874_924_095_815_681, query: "%E4%B8%80",
                nextResults: "?max_id=505874847260352512&q=%E4%B8%80&count=\(count)", count: count))
    }
}

extension Status {
    static func make(_ random: inout Randomness, retweets: Bool) -> Status {
        let id = random.identifier()
        let isReply = random.number(0...3) == 0
        return Status(
            createdAt: random.date(), id: id, idStr: "\(id)", text: random.text(8...22),
            source:
                "<a href=\"http://example.com/download/app\" rel=\"nofollow\">App for phones</a>",
            truncated: false, inReplyToStatusId: isReply ? random.identifier() : nil,
            inReplyToScreenName: isReply ? random.name() : nil, user: User.make(&random),
            coordinates: random.sometimes(10) {
                Coordinates(
                    latitude: $0.decimal(90_000_000, digits: 6),
                    longitude: $0.decimal(180_000_000, digits: 6))
            },
            retweetedStatus: retweets ? Retweet(make(&random, retweets: false)) : nil,
            retweetCount: random.number(0...5000), favoriteCount: random.number(0...900),
            entities: Entities.make(&random), favorited: false, retweeted: false,
            possiblySensitive: random.sometimes(2) { $0.number(0...9) == 0 },
            lang: random.pick(["ja", "en", "de", "pt"]))
    }
}

extension User {
    static func make(_ random: inout Randomness) -> User {
        let id = random.number(100_000...2_900_000_000)
        let zone = random.sometimes(2) { $0.pick([("Tokyo", 32400), ("Berlin", 3600)]) }
        return User(
            id: id, idStr: "\(id)", name: random.words(1...2), screenName: random.name(),
            location: random.pick(["", "東京", "São Paulo", "Köln, Deutschland"]),
            description: random.text(4...24),
            url: random.sometimes(2) { "http://example.com/\($0.name())" }, protected: false,
            followersCount: random.number(0...200_000), friendsCount: random.number(0...3000),
            listedCount: random.number(0...200), createdAt: random.date(),
            favouritesCount: random.number(0...9000), utcOffset: zone?.1, timeZone: zone?.0,
            geoEnabled: random.number(0...1) == 0, verified: random.number(0...50) == 0,
            statusesCount: random.number(1...90_000), lang: random.pick(["ja", "en", "de", "pt"]),
            profileBackgroundColor: random.pick(["C0DEED", "352726", "000000"]),
            profileImageUrl: "http://img.example.com/profile_images/\(id)/\(random.name()).jpeg",
            defaultProfile: random.number(0...1) == 0)
    }
}

extension Entities {
    static func make(_ random: inout Randomness) -> Entities {
        Entities(
            hashtags: random.list(0...3) { Hashtag(text: $0.words(1...1), indices: $0.range()) },
            urls: random.list(0...2) { random in
                let name = random.name()
                return Link(
                    url: "http://t.example/\(name)",
                    expandedUrl: "http://www.example.com/articles/\(name)/index.html",
                    displayUrl: "example.com/articles/\(name)…", indices: random.range())
            },
            userMentions: random.list(0...2) { random in
                let id = random.number(100_000...2_900_000_000)
                return Mention(
                    screenName: random.name(), name: random.words(1...2), id: id, idStr: "\(id)",
                    indices: random.range())
            })
    }
}
