import Micro
import Testing

@testable import MicroRedis

@Suite struct RedisFailureTests {
    @Test func wordsBecomeCodes() {
        let rows: [(String, MicroError.Code, String)] = [
            ("NOAUTH Authentication required.", .unauthenticated, "NOAUTH"),
            ("WRONGPASS invalid username-password pair", .unauthenticated, "WRONGPASS"),
            ("NOPERM this user has no permissions", .permissionDenied, "NOPERM"),
            ("OOM command not allowed", .resourceExhausted, "OOM"),
            ("WRONGTYPE Operation against a key", .failedPrecondition, "WRONGTYPE"),
            ("LOADING Redis is loading", .unavailable, "LOADING"),
            ("READONLY You can't write", .unavailable, "READONLY"),
            ("MOVED 3999 127.0.0.1:6381", .failedPrecondition, "MOVED"),
            ("BUSYGROUP Consumer Group name already exists", .alreadyExists, "BUSYGROUP"),
            ("ERR unknown command 'X'", .unimplemented, ""),
            ("ERR syntax error", .invalidArgument, ""),
            ("ERR something else", .unknown, ""), ("MYCODE of a script", .unknown, "MYCODE"),
            ("", .unknown, ""), ("lower case", .unknown, ""),
        ]
        for (text, code, reason) in rows {
            let error = RedisFailure.explain(text, "redis.get", at: "redis at h:1")
            #expect(error.code == code, "\(text)")
            #expect(error.reason == reason, "\(text)")
            #expect(error.id == "redis.get")
            #expect(error.detail.hasPrefix("redis at h:1: "))
        }
    }

    @Test func repliesOfTransactions() throws {
        let queued: [RedisValue] = [.status("OK"), .status("QUEUED")]
        let done = try RedisReplies.transaction(queued + [.array([.integer(1)])], at: "x")
        #expect(done == [.integer(1)])
        #expect(try RedisReplies.transaction(queued + [.null], at: "x") == nil)
        let error = #expect(throws: MicroError.self) {
            try RedisReplies.transaction(
                [.status("OK"), .error("ERR unknown command 'X'"), .error("EXECABORT x")], at: "x")
        }
        #expect(error?.code == .aborted)
        #expect(error?.detail.contains("unknown command") == true)
    }
}
