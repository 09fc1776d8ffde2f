import Micro
import Testing

@testable import MicroRedis

@Suite struct RedisURLTests {
    @Test func parts() throws {
        let plain = try RedisOptions(url: "redis://db.example")
        #expect(plain.address == "tcp://db.example:6379")
        #expect(plain.user.isEmpty && plain.password.isEmpty && plain.database == 0)
        #expect(plain.tls == nil)
        let full = try RedisOptions(url: "redis://us%40er:p%2Fw%3A%25@db.example:7000/12")
        #expect(full.address == "tcp://db.example:7000")
        #expect(full.user == "us@er")
        #expect(full.password == "p/w:%")
        #expect(full.database == 12)
        let noUser = try RedisOptions(url: "redis://:a:b@c@[::1]:1/")
        #expect(noUser.address == "tcp://[::1]:1")
        #expect(noUser.password == "a:b@c" && noUser.user.isEmpty)
        #expect(try RedisOptions(url: "redis://[fe80::1]").address == "tcp://[fe80::1]:6379")
        #expect(try RedisOptions(url: "redis://h?db=3").database == 3)
        let socket = try RedisOptions(url: "redis://u:p@/run/redis%20x.sock?db=2")
        #expect(socket.address == "unix:///run/redis x.sock")
        #expect(socket.database == 2 && socket.user == "u")
    }

    @Test func encrypted() throws {
        let options = try RedisOptions(
            url: "rediss://h/1?ca=/ca.pem&cert=%2Fc.pem&key=/k.pem&server_name=x.example")
        #expect(options.address == "tls://h:6379")
        #expect(options.tls?.serverName == "x.example")
        #expect(try RedisOptions(url: "rediss://h").tls != nil)
    }

    @Test func whatIsWrongIsSaidWithoutThePassword() {
        let urls = [
            "", "redis", "redis:", "redis:h", "http://h", "redis://", "redis:///", "redis://:6379",
            "redis://h:", "redis://h:0", "redis://h:65536", "redis://h:+1", "redis://h:x",
            "redis://h/x", "redis://h/-1", "redis://h/1/2", "redis://h/99999999",
            "redis://h/1?db=2",
            "redis://secret@h", "redis://user:@h", "redis://u:secret%@h", "redis://u:secret%zz@h",
            "redis://u:secret%00@h", "redis://u:secret%ff@h", "redis://u:sec/ret@h",
            "redis://u:secret%0a@h", "redis://h?x=secret", "redis://h?ca=/x", "redis://h?db=",
            "redis://h?db=1&db=2", "rediss:///run/x.sock", "redis://h h", "redis://[::1",
            "redis://u:secret@", "redis://h/" + String(repeating: "1", count: 5000),
        ]
        for url in urls {
            let error = #expect(throws: MicroError.self, "\(url.prefix(80))") {
                try RedisOptions(url: url)
            }
            #expect(error?.code == .invalidArgument)
            #expect(error?.description.contains("secret") == false)
        }
    }

    @Test func nothingPrintsThePassword() throws {
        let options = try RedisStoreOptions(url: "redis://u:s3cret@h/1?prefix=p")
        #expect(options.redis.password == "s3cret" && options.prefix == "p")
        var dumped = ""
        dump(options, to: &dumped)
        for text in ["\(options)", "\(options.redis)", String(reflecting: options), dumped] {
            #expect(!text.contains("s3cret"))
        }
        for url in ["redis://h?prefix=a%7B", "redis://h?prefix=%0a", "redis://h?prefix="] {
            #expect(throws: MicroError.self) { try RedisStoreOptions(url: url) }
        }
    }

    @Test func optionsThatCanNotBeUsed() {
        var options = RedisOptions(endpoint: "h:x")
        #expect(options.problems.count == 1)
        options = RedisOptions()
        #expect(options.problems.isEmpty)
        options.user = "u"
        options.database = -1
        options.attempts = 0
        options.timeout = .zero
        options.replyBytes = 0
        #expect(options.problems.count == 5)
        options = RedisOptions(endpoint: "/run/x.sock", tls: ClientTLSOptions())
        #expect(options.problems.count == 1)
    }
}
