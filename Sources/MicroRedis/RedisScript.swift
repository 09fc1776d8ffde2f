/// A script in Lua, which Redis runs as a whole.
public struct RedisScript: Sendable, Hashable {
    /// Its text.
    public let text: String

    /// By which the server knows it: SHA-1 of the text, in hex.
    public let hash: String

    /// Makes a script.
    public init(_ text: String) {
        self.text = text
        self.hash = SHA1.hex(of: Array(text.utf8))
    }

    enum Form { case hash, text }

    func command(
        _ form: Form, _ keys: [RedisArgument], _ arguments: [RedisArgument], _ isIdempotent: Bool
    ) -> RedisCommand {
        let head: [RedisArgument] =
            switch form {
            case .hash: ["EVALSHA", RedisArgument(hash)]
            case .text: ["EVAL", RedisArgument(text)]
            }
        var command = RedisCommand(head + [RedisArgument(keys.count)] + keys + arguments)
        command.isIdempotent = isIdempotent
        return command
    }
}

/// SHA-1 (FIPS 180-4): the name of a script, which protects nothing.
enum SHA1 {
    static func hex(of message: [UInt8]) -> String {
        var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
        for start in stride(from: 0, to: message.count + 9, by: 64) {
            mix(block(of: message, at: start), into: &state)
        }
        let digits = Array("0123456789abcdef")
        return String(
            state.flatMap { word in
                stride(from: 28, through: 0, by: -4).map { digits[Int(word >> UInt32($0) & 15)] }
            })
    }

    /// The words of one block: behind the message are a 1, zeros, and its length in bits.
    private static func block(of message: [UInt8], at start: Int) -> [UInt32] {
        let whole = (message.count + 8) / 64 * 64 + 64
        return (0..<16).map { word in
            (0..<4).reduce(UInt32(0)) { value, byte in
                let at = start + word * 4 + byte
                let next: UInt8
                if at < message.count {
                    next = message[at]
                } else if at == message.count {
                    next = 0x80
                } else if at >= whole - 8 {
                    let shift = UInt64(whole - 1 - at) * 8
                    next = UInt8(truncatingIfNeeded: (UInt64(message.count) * 8) >> shift)
                } else {
                    next = 0
                }
                return value << 8 | UInt32(next)
            }
        }
    }

    private static func mix(_ block: [UInt32], into state: inout [UInt32]) {
        func rotated(_ value: UInt32, by bits: UInt32) -> UInt32 {
            value << bits | value >> (32 - bits)
        }
        var words = block
        for index in 16..<80 {
            words.append(
                rotated(
                    words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16],
                    by: 1))
        }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for index in 0..<80 {
            let (mixed, constant): (UInt32, UInt32) =
                switch index / 20 {
                case 0: (b & c | ~b & d, 0x5a82_7999)
                case 1: (b ^ c ^ d, 0x6ed9_eba1)
                case 2: (b & c | b & d | c & d, 0x8f1b_bcdc)
                default: (b ^ c ^ d, 0xca62_c1d6)
                }
            let next = rotated(a, by: 5) &+ mixed &+ e &+ constant &+ words[index]
            (e, d, c, b, a) = (d, c, rotated(b, by: 30), a, next)
        }
        for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
    }
}
