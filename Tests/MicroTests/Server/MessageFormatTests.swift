import Testing

@testable import Micro

@Suite struct MessageFormatTests {
    @Test func aGRPCAnswerNamesItsCodecOnlyWhenItIsAnother() {
        #expect(reply(isGRPC: true, isOfRequest: true).contentType == [])
        #expect(
            reply(isGRPC: true, isOfRequest: false).contentType
                == Array("application/grpc+json".utf8))
        #expect(
            reply(isGRPC: false, isOfRequest: true).contentType == Array("application/json".utf8))
    }

    @Test func aStreamOfRepliesNamesItsFraming() {
        let lines = reply(isGRPC: false, isOfRequest: true, framing: .lines).head
        #expect(lines.contentType == Array("application/x-ndjson".utf8))
        let events = reply(isGRPC: false, isOfRequest: true, framing: .events).head
        #expect(events.contentType == Array("text/event-stream".utf8))
        #expect(reply(isGRPC: true, isOfRequest: true).head.contentType == [])
    }

    private func reply(
        isGRPC: Bool, isOfRequest: Bool, framing: ReplyHead.Framing = .none
    ) -> ReplyFormat {
        ReplyFormat(
            0, FormTraits(CodableCoding<Int>(Codecs()).readForms[0]), isGRPC: isGRPC,
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
