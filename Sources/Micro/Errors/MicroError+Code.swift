extension MicroError {
    /// A kind of error. Each has one gRPC code and one HTTP status; none means success.
    ///
    /// More may be added: a `switch` needs a `default`.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: UInt8, CaseIterable {
            // The gRPC codes, by their numbers.
            case cancelled = 1, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists
            case permissionDenied, resourceExhausted, failedPrecondition, aborted, outOfRange
            case unimplemented, `internal`, unavailable, dataLoss, unauthenticated
            // Refinements: one gRPC code has several HTTP statuses.
            case methodNotAllowed = 32, notAcceptable, unsupportedMediaType, payloadTooLarge
            case conflict
        }

        private let value: Value

        private init(_ value: Value) { self.value = value }

        /// The caller gave up. HTTP 499.
        public static let cancelled = Code(.cancelled)
        /// Nobody knows, or an unknown number arrived. HTTP 500.
        public static let unknown = Code(.unknown)
        /// The request is wrong whatever the state of the service. HTTP 400.
        public static let invalidArgument = Code(.invalidArgument)
        /// The time ran out; the work may have been done. HTTP 504.
        public static let deadlineExceeded = Code(.deadlineExceeded)
        /// There is no such thing. HTTP 404.
        public static let notFound = Code(.notFound)
        /// The thing to be made is there. HTTP 409.
        public static let alreadyExists = Code(.alreadyExists)
        /// The caller is known and may not. HTTP 403.
        public static let permissionDenied = Code(.permissionDenied)
        /// A quota or a limit is used up. HTTP 429.
        public static let resourceExhausted = Code(.resourceExhausted)
        /// The service is not in the state that the request needs. HTTP 400.
        public static let failedPrecondition = Code(.failedPrecondition)
        /// Another request got in between: start again from reading. HTTP 409.
        public static let aborted = Code(.aborted)
        /// Beyond the valid range. HTTP 400.
        public static let outOfRange = Code(.outOfRange)
        /// Nobody serves this. HTTP 501.
        public static let unimplemented = Code(.unimplemented)
        /// A defect of the service. HTTP 500.
        public static let `internal` = Code(.internal)
        /// The service can't answer now. HTTP 503.
        public static let unavailable = Code(.unavailable)
        /// Data was lost or damaged. HTTP 500.
        public static let dataLoss = Code(.dataLoss)
        /// The caller is not known. HTTP 401.
        public static let unauthenticated = Code(.unauthenticated)
        /// The path is served, with another HTTP method. HTTP 405, over gRPC ``unimplemented``.
        public static let methodNotAllowed = Code(.methodNotAllowed)
        /// No codec that the caller reads. HTTP 406, over gRPC ``invalidArgument``.
        public static let notAcceptable = Code(.notAcceptable)
        /// No codec for what the caller sent. HTTP 415, over gRPC ``invalidArgument``.
        public static let unsupportedMediaType = Code(.unsupportedMediaType)
        /// The message is larger than the limit. HTTP 413, over gRPC ``resourceExhausted``.
        public static let payloadTooLarge = Code(.payloadTooLarge)
        /// The state changed since it was read. HTTP 409, over gRPC ``aborted``.
        public static let conflict = Code(.conflict)

        /// The kind with this gRPC status code; ``unknown`` for 0 and for numbers above 16.
        public init(rpc: UInt32) {
            self.init(
                UInt8(exactly: rpc).flatMap { $0 <= 16 ? Value(rawValue: $0) : nil } ?? .unknown)
        }

        /// The kind that comes closest to this HTTP status; ``unknown`` for what is no error.
        public init(http: Int) {
            switch http {
            case 401: self = .unauthenticated
            case 402, 403, 451: self = .permissionDenied
            case 404, 410: self = .notFound
            case 405: self = .methodNotAllowed
            case 406: self = .notAcceptable
            case 408, 504: self = .deadlineExceeded
            case 409: self = .conflict
            case 412, 423, 428: self = .failedPrecondition
            case 413, 414, 431: self = .payloadTooLarge
            case 415: self = .unsupportedMediaType
            case 416: self = .outOfRange
            case 429: self = .resourceExhausted
            case 499: self = .cancelled
            case 400..<500: self = .invalidArgument
            case 500: self = .internal
            case 501: self = .unimplemented
            case 502, 503: self = .unavailable
            default: self = .unknown
            }
        }

        /// The kind with this name, "NOT_FOUND"; nil when there is none.
        init?(name: String) {
            guard let value = Value.allCases.first(where: { Code($0).name == name }) else {
                return nil
            }
            self.init(value)
        }

        /// The refinement that has this gRPC code and this HTTP status, if there is one.
        init?(refining rpc: UInt32, http: Int) {
            let found = Value.allCases.map(Code.init).first {
                $0.isRefinement && $0.rpc == rpc && $0.http == http
            }
            guard let found else { return nil }
            self = found
        }

        /// Whether ``rpc`` alone doesn't say which code it is.
        var isRefinement: Bool { value.rawValue > 16 }

        /// The gRPC status code: 1 to 16.
        public var rpc: UInt32 {
            switch value {
            case .methodNotAllowed: 12
            case .notAcceptable, .unsupportedMediaType: 3
            case .payloadTooLarge: 8
            case .conflict: 10
            default: UInt32(value.rawValue)
            }
        }

        /// The HTTP status: 400 to 599.
        public var http: Int {
            switch value {
            case .cancelled: 499
            case .unknown, .internal, .dataLoss: 500
            case .invalidArgument, .failedPrecondition, .outOfRange: 400
            case .deadlineExceeded: 504
            case .notFound: 404
            case .alreadyExists, .aborted, .conflict: 409
            case .permissionDenied: 403
            case .resourceExhausted: 429
            case .unimplemented: 501
            case .unavailable: 503
            case .unauthenticated: 401
            case .methodNotAllowed: 405
            case .notAcceptable: 406
            case .unsupportedMediaType: 415
            case .payloadTooLarge: 413
            }
        }

        /// The name as gRPC writes it: "NOT_FOUND".
        public var name: String {
            switch value {
            case .cancelled: "CANCELLED"
            case .unknown: "UNKNOWN"
            case .invalidArgument: "INVALID_ARGUMENT"
            case .deadlineExceeded: "DEADLINE_EXCEEDED"
            case .notFound: "NOT_FOUND"
            case .alreadyExists: "ALREADY_EXISTS"
            case .permissionDenied: "PERMISSION_DENIED"
            case .resourceExhausted: "RESOURCE_EXHAUSTED"
            case .failedPrecondition: "FAILED_PRECONDITION"
            case .aborted: "ABORTED"
            case .outOfRange: "OUT_OF_RANGE"
            case .unimplemented: "UNIMPLEMENTED"
            case .internal: "INTERNAL"
            case .unavailable: "UNAVAILABLE"
            case .dataLoss: "DATA_LOSS"
            case .unauthenticated: "UNAUTHENTICATED"
            case .methodNotAllowed: "METHOD_NOT_ALLOWED"
            case .notAcceptable: "NOT_ACCEPTABLE"
            case .unsupportedMediaType: "UNSUPPORTED_MEDIA_TYPE"
            case .payloadTooLarge: "PAYLOAD_TOO_LARGE"
            case .conflict: "CONFLICT"
            }
        }

        /// The text of the HTTP status: "Not Found".
        public var httpText: String {
            switch http {
            case 400: "Bad Request"
            case 401: "Unauthorized"
            case 403: "Forbidden"
            case 404: "Not Found"
            case 405: "Method Not Allowed"
            case 406: "Not Acceptable"
            case 409: "Conflict"
            case 413: "Content Too Large"
            case 415: "Unsupported Media Type"
            case 429: "Too Many Requests"
            case 499: "Client Closed Request"
            case 501: "Not Implemented"
            case 503: "Service Unavailable"
            case 504: "Gateway Timeout"
            default: "Internal Server Error"
            }
        }

        /// What to say where nothing was said.
        var advice: String {
            switch value {
            case .cancelled: "the caller gave up"
            case .unknown: "no more is known; see the log of the service"
            case .invalidArgument: "the request is not valid; correct it"
            case .deadlineExceeded: "the time ran out; allow more, or look for what is slow"
            case .notFound: "it does not exist; check the name"
            case .alreadyExists: "it exists already"
            case .permissionDenied: "the caller is not allowed to do this"
            case .resourceExhausted: "a limit is reached; slow down and try later"
            case .failedPrecondition: "the service is not in the state that this needs"
            case .aborted: "another request got in between; start again"
            case .outOfRange: "beyond the valid range"
            case .unimplemented: "this is not served here; check the name and the version"
            case .internal: "a defect of the service; see its log"
            case .unavailable: "it can't be reached now; try again with a growing delay"
            case .dataLoss: "data was lost or damaged"
            case .unauthenticated: "the caller is not known; send valid credentials"
            case .methodNotAllowed: "the path is served with another HTTP method"
            case .notAcceptable: "no codec fits the accept header"
            case .unsupportedMediaType: "no codec fits the content type"
            case .payloadTooLarge: "the message is larger than the limit"
            case .conflict: "it changed in the meantime; read it again"
            }
        }

        /// The same as ``name``.
        public var description: String { name }
    }
}
