internal import Micro
internal import SwiftProtobuf

/// What a watch tells.
public struct EtcdWatchOptions: Sendable, Hashable {
    /// The first revision that is told; 0: from now on. What was read at `n` goes on
    /// at `n + 1`.
    public var startRevision: Int64 = 0
    /// Leaves out what is written.
    public var ignoresPuts = false
    /// Leaves out what is deleted.
    public var ignoresDeletions = false
    /// Whether it also tells, every few minutes, how far etcd is when nothing happens.
    public var notifiesProgress = false

    /// From now on, all changes.
    public init() {}

    /// All changes from `startRevision` on.
    public init(startRevision: Int64) { self.startRevision = startRevision }

    fileprivate func request(
        for range: EtcdKeyRange, under prefix: [UInt8]
    ) -> Etcdserverpb_WatchCreateRequest {
        var request = Etcdserverpb_WatchCreateRequest(range, under: prefix)
        request.startRevision = startRevision
        request.progressNotify = notifiesProgress
        request.filters =
            (ignoresPuts ? [.noput] : []) + (ignoresDeletions ? [.nodelete] : [])
        request.fragment = true
        return request
    }
}

extension EtcdClient {
    /// Watches keys for as long as `body` runs. Without a time limit.
    ///
    /// - Parameter body: Called when etcd has confirmed the watch: what changes from then on is
    ///   told. Its result is returned.
    /// - Throws: ``MicroError`` when it can't be opened in time; what `body` throws.
    public func watch<Value: Sendable>(
        _ range: EtcdKeyRange, _ watchOptions: EtcdWatchOptions = EtcdWatchOptions(),
        _ body: @escaping @Sendable (EtcdChanges) async throws -> Value
    ) async throws -> Value {
        let request = Etcdserverpb_WatchRequest.with {
            $0.createRequest = watchOptions.request(for: range, under: prefix)
        }
        let (timeout, clock, place) = (options.timeout, environment.clock, options.place)
        let prefixBytes = prefix.count
        return try await stream("etcd.watch", watches.watch) { out, answers in
            let first = try await withTimeout(timeout, on: clock, "etcd.watch", "opening a watch") {
                try await out.send(request)
                return try await answers.first { _ in true }
            }
            guard let first else {
                throw EtcdFailure.ofWatch("", compactRevision: 0, at: place)
            }
            if first.canceled {
                throw EtcdFailure.ofWatch(
                    first.cancelReason, compactRevision: first.compactRevision, at: place)
            }
            return try await body(
                EtcdChanges(
                    answers: answers, header: EtcdHeader(first.header), prefixBytes: prefixBytes,
                    place: place))
        }
    }
}

/// A change of a key.
public enum EtcdChange: Sendable, Hashable {
    /// It was written.
    case put(EtcdKeyValue)
    /// It was deleted, or its lease has ended.
    case deleted(key: [UInt8], revision: Int64)

    init(_ wire: Mvccpb_Event, prefixBytes: Int) {
        switch wire.type {
        case .delete:
            self = .deleted(
                key: [UInt8](wire.kv.key.dropFirst(prefixBytes)), revision: wire.kv.modRevision)
        default: self = .put(EtcdKeyValue(wire.kv, prefixBytes: prefixBytes))
        }
    }
}

/// Changes that came together.
public struct EtcdChangeBatch: Sendable, Hashable {
    /// How far etcd was.
    public var header: EtcdHeader
    /// In their order; empty when it only tells how far etcd is.
    public var changes: [EtcdChange]
    /// Whether changes of the same revisions follow in the next batch.
    public var isPartial: Bool
}

/// What a watch tells, in order. For one consumer. Iterating throws ``MicroError``:
/// ``EtcdReason/compacted`` when the first revision is not kept any more, and what ends the stream.
public struct EtcdChanges: AsyncSequence, Sendable {
    let answers: Inbound<Etcdserverpb_WatchResponse>
    /// How far etcd was when it confirmed the watch.
    public let header: EtcdHeader
    let prefixBytes: Int
    let place: String

    /// A consumer of the changes.
    public struct Iterator: AsyncIteratorProtocol {
        fileprivate var answers: Inbound<Etcdserverpb_WatchResponse>.Iterator
        fileprivate let prefixBytes: Int
        fileprivate let place: String

        /// The next changes; nil when etcd has ended the stream.
        public mutating func next() async throws -> EtcdChangeBatch? {
            guard let answer = try await answers.next() else { return nil }
            if answer.canceled {
                throw EtcdFailure.ofWatch(
                    answer.cancelReason, compactRevision: answer.compactRevision, at: place)
            }
            return EtcdChangeBatch(
                header: EtcdHeader(answer.header),
                changes: answer.events.map { EtcdChange($0, prefixBytes: prefixBytes) },
                isPartial: answer.fragment)
        }
    }

    /// Goes on where the last one has stopped.
    public func makeAsyncIterator() -> Iterator {
        Iterator(answers: answers.makeAsyncIterator(), prefixBytes: prefixBytes, place: place)
    }
}
