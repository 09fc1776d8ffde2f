import Micro
import MicroProtobuf
import SwiftProtobuf

/// The small message in protobuf's binary form, by Micro's coding and by the library below it.
enum ProtobufWork {
    static func ours(_ operation: Operation, _ document: DocumentName) throws -> Work {
        let (order, bytes) = try sample(document)
        let coding = ProtobufCoding<Codecs_Order>()
        let form = ProtobufForm.proto
        guard try coding.read(bytes.span.bytes, as: form) == order,
            try coding.write(order, as: form) == bytes
        else {
            throw Unfit("it does something else than the library")
        }
        return try work(
            operation, bytes.count,
            decode: { take(try coding.read(bytes.span.bytes, as: form)) },
            encode: { take(try coding.write(order, as: form)) })
    }

    static func library(_ operation: Operation, _ document: DocumentName) throws -> Work {
        let (order, bytes) = try sample(document)
        return try work(
            operation, bytes.count,
            decode: { take(try Codecs_Order(serializedBytes: bytes.span.bytes)) },
            encode: { take(try order.serializedBytes() as [UInt8]) })
    }

    private static func sample(_ document: DocumentName) throws -> (Codecs_Order, [UInt8]) {
        guard document == .small else { throw Unfit("there is only the small message") }
        let value = Order.sample
        let order = Codecs_Order.with {
            $0.id = Int64(value.id)
            $0.name = value.name
            $0.price = value.price
            $0.active = value.active
            $0.tags = value.tags
        }
        return (order, try order.serializedBytes())
    }

    private static func work(
        _ operation: Operation, _ bytes: Int, decode: @escaping () throws -> Void,
        encode: @escaping () throws -> Void
    ) throws -> Work {
        guard operation == .decode || operation == .encode else {
            throw Unfit("it decodes and encodes only")
        }
        let once = operation == .decode ? decode : encode
        return Work(bytes: bytes) { count in
            for _ in 0..<count { try once() }
        }
    }
}
