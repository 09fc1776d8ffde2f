import Testing

@testable import Micro

@Suite struct MessageFormatTests {
    @Test func aGRPCAnswerNamesItsCodecOnlyWhenItIsAnother() throws {
        let same = format(isGRPC: true, isOfRequest: true)
        #expect(try same.answer(7).contentType == [])
        let other = format(isGRPC: true, isOfRequest: false)
        #expect(try other.answer(7).contentType == Array("application/grpc+json".utf8))
        let http = format(isGRPC: false, isOfRequest: true)
        #expect(try http.answer(7).contentType == Array("application/json".utf8))
        #expect(try http.answer(7).body == Array("7".utf8))
    }

    @Test func aStreamOfRepliesNamesItsFraming() {
        let lines = format(isGRPC: false, isOfRequest: true, framing: .lines).head
        #expect(lines.contentType == Array("application/x-ndjson".utf8))
        let events = format(isGRPC: false, isOfRequest: true, framing: .events).head
        #expect(events.contentType == Array("text/event-stream".utf8))
        #expect(format(isGRPC: true, isOfRequest: true, framing: .none).head.contentType == [])
    }

    private func format(
        isGRPC: Bool, isOfRequest: Bool, framing: ReplyHead.Framing = .none
    ) -> ReplyFormat<CodableCoding<Int>> {
        ReplyFormat(
            CodableCoding(Codecs()), CodableCoding<Int>.Form(Codecs.Entry(JSONCodec())),
            isGRPC: isGRPC,
            framing: framing, isOfRequest: isOfRequest)
    }

    @Test func failuresTravelInTheCallersForm() {
        let error = MicroError(
            "orders.get", .notFound, "no order 7", reason: "GONE", metadata: ["order": "7"])
        let rpc = OutgoingAnswer(error, isGRPC: true)
        #expect(rpc.code == 5)
        #expect(rpc.message == "no order 7")
        #expect(rpc.body.isEmpty)
        let back = MicroError(rpcCode: rpc.code, message: rpc.message, details: rpc.details)
        #expect(back == error)
        let http = OutgoingAnswer(error, isGRPC: false)
        #expect(http.httpStatus == 404)
        #expect(http.contentType == Array("application/problem+json".utf8))
        #expect(String(decoding: http.body, as: UTF8.self).contains("no order 7"))
    }

    @Test func aSlotIsTakenOnce() {
        let slot = ReplySlot<Int>()
        #expect(slot.take() == nil)
        slot.set(1)
        slot.set(2)
        #expect(slot.take() == 2)
        #expect(slot.take() == nil)
    }
}
