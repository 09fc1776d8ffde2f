import Foundation
import Micro
import Synchronization

/// Calls that begin as soon as the one before has ended, and what is measured of them between the
/// end of the warm-up and the end.
final class Load: Sendable {
    private let begin: UInt64
    private let end: UInt64
    private let state: Mutex<State>

    private struct State {
        var latencies = LatencyHistogram()
        var failures = 0
        var failureTexts: [String] = []
        var cpuAtBegin: Double?
        var cpuAtEnd: Double?
    }

    init(warmup: Double, seconds: Double) {
        let now = Load.now
        begin = now + UInt64(warmup * 1e9)
        end = begin + UInt64(seconds * 1e9)
        state = Mutex(State())
    }

    /// One call after the other.
    func calls<Coding: MessageReading & MessageWriting>(
        _ client: Client, _ coding: Coding, _ message: Coding.Message
    ) async where Coding.Message: Equatable {
        await measured { record in
            while record.goesOn {
                let response = try await client.response(
                    "echo", "echo.Echo/Unary", message, writing: coding, reading: coding)
                try record(response.reply == message)
            }
        }
    }

    /// One message after the other, on one stream.
    func chat<Coding: MessageReading & MessageWriting>(
        _ client: Client, _ coding: Coding, _ message: Coding.Message
    ) async where Coding.Message: Equatable {
        await measured { record in
            try await client.exchange(
                "echo", "echo.Echo/Chat", writing: coding, reading: coding
            ) { out, replies in
                var iterator = replies.makeAsyncIterator()
                while record.goesOn {
                    try await out.send(message)
                    let reply = try await iterator.next()
                    try record(reply == message)
                }
                try await out.finish()
            }
        }
    }

    private func measured(_ work: (Recorder) async throws -> Void) async {
        let recorder = Recorder(self)
        do {
            try await work(recorder)
        } catch {
            fail("\(error)")
        }
        state.withLock { $0.latencies.add(recorder.latencies) }
    }

    private func fail(_ text: String) {
        state.withLock { state in
            state.failures += 1
            if state.failureTexts.count < 10 { state.failureTexts.append(text) }
        }
    }

    var figures: Figures {
        state.withLock { state in
            Figures(
                latencies: state.latencies, failures: state.failures,
                failureTexts: state.failureTexts, seconds: Double(end - begin) / 1e9,
                cpuSeconds: (state.cpuAtEnd ?? Load.cpuSeconds)
                    - (state.cpuAtBegin ?? 0))
        }
    }

    /// The calls of one task.
    final class Recorder: @unchecked Sendable {  // used by one task
        private let load: Load
        private(set) var latencies = LatencyHistogram()
        private var began: UInt64

        init(_ load: Load) {
            self.load = load
            began = Load.now
        }

        /// Whether there is time for one more.
        var goesOn: Bool { began < load.end }

        /// Notes a call that has ended, from which the next one begins.
        func callAsFunction(_ isRight: Bool) throws {
            let now = Load.now
            guard isRight else { throw MicroError.internalError("echo", "a wrong echo") }
            if began >= load.begin, now <= load.end { latencies.record(now - began) }
            if began < load.begin, now >= load.begin {
                load.state.withLock { if $0.cpuAtBegin == nil { $0.cpuAtBegin = Load.cpuSeconds } }
            }
            if now >= load.end {
                load.state.withLock { if $0.cpuAtEnd == nil { $0.cpuAtEnd = Load.cpuSeconds } }
            }
            began = now
        }
    }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// User and system time of the process.
    private static var cpuSeconds: Double {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        return [usage.ru_utime, usage.ru_stime].reduce(0) {
            $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1_000_000
        }
    }
}

/// What came out.
struct Figures {
    let latencies: LatencyHistogram
    let failures: Int
    let failureTexts: [String]
    let seconds: Double
    let cpuSeconds: Double

    var json: String {
        let fields = [
            "\"requests\": \(latencies.count)", "\"failures\": \(failures)",
            "\"seconds\": \(seconds)", "\"cpu_us\": \(cpuSeconds * 1e6)",
            "\"p50_us\": \(latencies.percentile(0.5))",
            "\"p99_us\": \(latencies.percentile(0.99))",
            "\"p999_us\": \(latencies.percentile(0.999))",
            "\"max_us\": \(Double(latencies.max) / 1_000)",
        ]
        return "{\(fields.joined(separator: ", "))}"
    }
}
