internal import CHiredis
internal import Micro

/// Cuts replies out of bytes that come in pieces of any size: the parser of hiredis, with limits of
/// our own. Not safe to use from two threads at once.
final class ReplyReader {
    struct Limits: Sendable, Hashable {
        /// Of one reply.
        var bytes = 64 << 20
        /// Of one reply, those in arrays included.
        var values = 1 << 20
    }

    private let reader: UnsafeMutablePointer<redisReader>
    private let builder: ReplyBuilder
    private let limits: Limits
    /// Bytes that have come of the reply that is not whole yet, or behind the last.
    private var unfinished = 0

    init(limits: Limits = Limits()) throws(MicroError) {
        guard let reader = redisReaderCreateWithFunctions(replyFunctions.pointer) else {
            throw .resourceExhausted("redis.reply", "there is no memory for a connection")
        }
        self.reader = reader
        self.limits = limits
        builder = ReplyBuilder(valuesMax: limits.values)
        reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
    }

    deinit { redisReaderFree(reader) }

    /// Takes bytes over. ``next()`` follows, until it is nil.
    func feed(_ bytes: RawSpan) throws(MicroError) {
        let status = bytes.withUnsafeBytes { bytes in
            redisReaderFeed(
                reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        unfinished += bytes.byteCount
        guard status == REDIS_OK else { throw failure() }
    }

    /// The next reply; nil when it is not whole yet.
    ///
    /// - Throws: ``MicroError`` `internal`: this is not Redis; `resourceExhausted`: a limit.
    ///   Nothing can be read after it.
    func next() throws(MicroError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &reply) == REDIS_OK else { throw failure() }
        if reply == nil {
            guard unfinished <= limits.bytes else {
                throw .resourceExhausted(
                    "redis.reply", "a reply has more than \(limits.bytes) bytes",
                    reason: RedisReason.replyTooLarge)
            }
            return nil
        }
        unfinished = reader.pointee.len - reader.pointee.pos
        guard let value = builder.takeRoot() else {
            throw .internalError("redis.reply", "a reply without a value")
        }
        return value
    }

    private func failure() -> MicroError {
        if builder.isOverLimit {
            return .resourceExhausted(
                "redis.reply", "a reply has more than \(limits.values) values",
                reason: RedisReason.replyTooLarge)
        }
        let text = withUnsafeBytes(of: reader.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return .internalError(
            "redis.reply", "what came is not a reply of Redis: \(text)",
            reason: RedisReason.protocolError)
    }
}

/// Makes one value of what the parser finds, depth first.
private final class ReplyBuilder {
    private struct Level {
        var values: [RedisValue] = []
        let count: Int
    }

    private let valuesMax: Int
    private var count = 0
    private var open: [Level] = []
    private var root: RedisValue?
    private(set) var isOverLimit = false

    init(valuesMax: Int) { self.valuesMax = valuesMax }

    func takeRoot() -> RedisValue? {
        defer { reset() }
        return root
    }

    func reset() {
        root = nil
        open = []
        count = 0
    }

    /// - Returns: Whether it was within the limit.
    func add(_ value: RedisValue) -> Bool {
        guard take(1) else { return false }
        close(value)
        return true
    }

    func beginArray(of count: Int) -> Bool {
        // Those of an array that was announced count before they come.
        guard count >= 0, take(1), count <= valuesMax - self.count else {
            isOverLimit = true
            return false
        }
        if count == 0 {
            close(.array([]))
        } else {
            open.append(Level(count: count))
        }
        return true
    }

    private func take(_ values: Int) -> Bool {
        count += values
        isOverLimit = count > valuesMax
        return !isOverLimit
    }

    private func close(_ value: RedisValue) {
        var value = value
        while var array = open.popLast() {
            array.values.append(value)
            guard array.values.count == array.count else {
                open.append(array)
                return
            }
            value = .array(array.values)
        }
        root = value
    }
}

/// The functions that hiredis calls with what it finds, at an address that stays. They return
/// anything but NULL: the values themselves are the builder's.
private struct ReplyFunctions: @unchecked Sendable {  // not changed once it is made
    let pointer: UnsafeMutablePointer<redisReplyObjectFunctions>

    init() {
        pointer = .allocate(capacity: 1)
        var functions = redisReplyObjectFunctions()
        functions.createString = { task, text, length in
            let bytes = UnsafeRawBufferPointer(start: text, count: length)
            let value: RedisValue =
                switch task?.pointee.type {
                case REDIS_REPLY_STATUS: .status(String(decoding: bytes, as: UTF8.self))
                case REDIS_REPLY_ERROR: .error(String(decoding: bytes, as: UTF8.self))
                default: .bytes([UInt8](bytes))
                }
            return ReplyFunctions.tell(task) { $0.add(value) }
        }
        functions.createArray = { task, count in
            ReplyFunctions.tell(task) { $0.beginArray(of: Int(count)) }
        }
        functions.createInteger = { task, number in
            ReplyFunctions.tell(task) { $0.add(.integer(number)) }
        }
        functions.createNil = { task in ReplyFunctions.tell(task) { $0.add(.null) } }
        // The parser has given up, and can't say on what; nothing is read of it any more.
        functions.freeObject = { _ in }
        pointer.initialize(to: functions)
    }

    private static func tell(
        _ task: UnsafePointer<redisReadTask>?, _ body: (ReplyBuilder) -> Bool
    ) -> UnsafeMutableRawPointer? {
        guard let builder = task?.pointee.privdata else { return nil }
        let isTaken = body(Unmanaged<ReplyBuilder>.fromOpaque(builder).takeUnretainedValue())
        return isTaken ? builder : nil
    }
}

private let replyFunctions = ReplyFunctions()
