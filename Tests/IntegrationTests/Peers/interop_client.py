"""The client of the public interoperability tests of gRPC, with grpcio.

usage: interop_client.py HOST:PORT [AUTHORITY NAME]

With the file of an authority it encrypts; NAME is what the server's certificate has to be for.

Prints a line for each case, and "N passed, M failed" at the end.
"""

import os
import queue
import sys
import threading

import grpc
from interop_messages import (AS_THEY_COME, INITIAL, MESSAGES, METHODS, TRAILING, receiving,
                              sending)

PATIENCE = 30
REQUEST_BYTES, RESPONSE_BYTES = 271_828, 314_159


class Unexpected(Exception):
    pass


def expect(found, expected, what):
    if found != expected:
        raise Unexpected(f"{what}: {found!r} instead of {expected!r}")


def expect_zeros(reply, size):
    expect(len(reply.message.payload.body), size, "the length of the payload")
    expect(reply.message.payload.body.count(0), size, "the zeros in the payload")


def expect_failure(code, call):
    try:
        call()
    except grpc.RpcError as error:
        expect(error.code(), code, f"the code of {error.details()!r}")
        return error
    raise Unexpected(f"success instead of {code}")


class Stub:
    """The methods of the service as callables."""

    def __init__(self, channel):
        for name, (request, reply, many_requests, many_replies) in METHODS.items():
            make = {(False, False): channel.unary_unary, (False, True): channel.unary_stream,
                    (True, False): channel.stream_unary,
                    (True, True): channel.stream_stream}[many_requests, many_replies]
            setattr(self, name, make(
                f"/grpc.testing.TestService/{name}", sending, receiving(reply)))
        self.unimplemented_method = channel.unary_unary(
            "/grpc.testing.TestService/UnimplementedCall", sending, receiving("Empty"))
        self.unimplemented_service = channel.unary_unary(
            "/grpc.testing.UnimplementedService/UnimplementedCall", sending, receiving("Empty"))


class Pipe:
    """Requests that are sent as they are put in."""

    def __init__(self):
        self.queue = queue.Queue()
        self.begun = threading.Event()

    def put(self, request):
        self.queue.put(request)

    def close(self):
        self.queue.put(None)

    def __iter__(self):
        return self

    def __next__(self):
        self.begun.set()
        request = self.queue.get()
        if request is None:
            raise StopIteration
        return request


def payload(size, fill=bytes):
    return MESSAGES["Payload"](body=fill(size))


def large(**changes):
    return MESSAGES["SimpleRequest"](
        response_size=RESPONSE_BYTES, payload=payload(REQUEST_BYTES), **changes)


def flag(value):
    return MESSAGES["BoolValue"](value=value)


def asking(*sizes, sending_bytes=None, compressed=None):
    """A request for replies of these sizes."""
    parameters = [MESSAGES["ResponseParameters"](
        size=size, compressed=None if compressed is None else flag(compressed[index]))
        for index, size in enumerate(sizes)]
    return MESSAGES["StreamingOutputCallRequest"](
        response_parameters=parameters,
        payload=None if sending_bytes is None else payload(sending_bytes))


def inputs(*sizes):
    return [MESSAGES["StreamingInputCallRequest"](payload=payload(size)) for size in sizes]


def empty_unary(stub):
    reply = stub.EmptyCall(MESSAGES["Empty"](), timeout=PATIENCE)
    expect(reply.message, MESSAGES["Empty"](), "the reply")


def large_unary(stub):
    expect_zeros(stub.UnaryCall(large(), timeout=PATIENCE), RESPONSE_BYTES)


def client_streaming(stub):
    reply = stub.StreamingInputCall(iter(inputs(27_182, 8, 1_828, 45_904)), timeout=PATIENCE)
    expect(reply.message.aggregated_payload_size, 74_922, "the sum of the sizes")


def server_streaming(stub):
    sizes = [31_415, 9, 2_653, 58_979]
    replies = list(stub.StreamingOutputCall(asking(*sizes), timeout=PATIENCE))
    expect(len(replies), len(sizes), "the number of replies")
    for reply, size in zip(replies, sizes):
        expect_zeros(reply, size)


def ping_pong(stub):
    pipe = Pipe()
    replies = stub.FullDuplexCall(pipe, timeout=PATIENCE)
    for sent, asked in [(27_182, 31_415), (8, 9), (1_828, 2_653), (45_904, 58_979)]:
        pipe.put(asking(asked, sending_bytes=sent))
        expect_zeros(next(replies), asked)
    pipe.close()
    expect(list(replies), [], "what follows")


def empty_stream(stub):
    expect(list(stub.FullDuplexCall(iter([]), timeout=PATIENCE)), [], "the replies")


def cancel_after_begin(stub):
    pipe = Pipe()
    future = stub.StreamingInputCall.future(pipe, timeout=PATIENCE)
    if not pipe.begun.wait(PATIENCE):
        raise Unexpected("the call did not begin")
    future.cancel()
    expect(future.cancelled(), True, "the call is cancelled")
    expect(future.code(), grpc.StatusCode.CANCELLED, "the code")
    pipe.close()


def cancel_after_first_response(stub):
    pipe = Pipe()
    replies = stub.FullDuplexCall(pipe, timeout=PATIENCE)
    pipe.put(asking(31_415, sending_bytes=27_182))
    expect_zeros(next(replies), 31_415)
    replies.cancel()
    expect_failure(grpc.StatusCode.CANCELLED, lambda: next(replies))
    pipe.close()


def timeout_on_sleeping_server(stub):
    pipe = Pipe()
    replies = stub.FullDuplexCall(pipe, timeout=0.001)
    pipe.put(asking(sending_bytes=27_182))
    expect_failure(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: next(replies))
    pipe.close()


def custom_metadata(stub):
    text, raw = "test_initial_metadata_value", b"\xab\xab\xab"
    sent = ((INITIAL, text), (TRAILING, raw))

    def check(call):
        found = [value for name, value in call.initial_metadata() if name == INITIAL]
        expect(found, [text], INITIAL)
        found = [value for name, value in call.trailing_metadata() if name == TRAILING]
        expect(found, [raw], TRAILING)

    reply, call = stub.UnaryCall.with_call(large(), metadata=sent, timeout=PATIENCE)
    expect_zeros(reply, RESPONSE_BYTES)
    check(call)
    request = asking(RESPONSE_BYTES, sending_bytes=REQUEST_BYTES)
    call = stub.FullDuplexCall(iter([request]), metadata=sent, timeout=PATIENCE)
    replies = list(call)
    expect(len(replies), 1, "the number of replies")
    expect_zeros(replies[0], RESPONSE_BYTES)
    check(call)


def status_code_and_message(stub):
    status = MESSAGES["EchoStatus"](code=2, message="test status message")
    request = MESSAGES["SimpleRequest"](response_status=status)
    error = expect_failure(
        grpc.StatusCode.UNKNOWN, lambda: stub.UnaryCall(request, timeout=PATIENCE))
    expect(error.details(), status.message, "the message")
    request = MESSAGES["StreamingOutputCallRequest"](response_status=status)
    error = expect_failure(
        grpc.StatusCode.UNKNOWN,
        lambda: list(stub.FullDuplexCall(iter([request]), timeout=PATIENCE)))
    expect(error.details(), status.message, "the message of the stream")


def special_status_message(stub):
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    request = MESSAGES["SimpleRequest"](
        response_status=MESSAGES["EchoStatus"](code=2, message=message))
    error = expect_failure(
        grpc.StatusCode.UNKNOWN, lambda: stub.UnaryCall(request, timeout=PATIENCE))
    expect(error.details(), message, "the message")


def unimplemented_method(stub):
    expect_failure(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.unimplemented_method(
        MESSAGES["Empty"](), timeout=PATIENCE))


def unimplemented_service(stub):
    expect_failure(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.unimplemented_service(
        MESSAGES["Empty"](), timeout=PATIENCE))


def client_compressed_unary(stub):
    request = large(expect_compressed=flag(True))
    expect_failure(
        grpc.StatusCode.INVALID_ARGUMENT, lambda: stub.UnaryCall(request, timeout=PATIENCE))
    reply = stub.UnaryCall(request, compression=grpc.Compression.Gzip, timeout=PATIENCE)
    expect_zeros(reply, RESPONSE_BYTES)
    reply = stub.UnaryCall(large(expect_compressed=flag(False)), timeout=PATIENCE)
    expect_zeros(reply, RESPONSE_BYTES)


def server_compressed_unary(stub):
    for compressed in (True, False):
        reply = stub.UnaryCall(large(response_compressed=flag(compressed)), timeout=PATIENCE)
        expect(reply.compressed, compressed, "the reply is compressed")
        expect_zeros(reply, RESPONSE_BYTES)


def client_compressed_streaming(stub):
    make = MESSAGES["StreamingInputCallRequest"]
    first = make(payload=payload(27_182), expect_compressed=flag(True))
    expect_failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        lambda: stub.StreamingInputCall(iter([first]), timeout=PATIENCE))
    # grpcio can't say it for one message, but sends as it is what compressing does not make less.
    second = make(payload=payload(45_904, os.urandom), expect_compressed=flag(False))
    reply = stub.StreamingInputCall(
        iter([first, second]), compression=grpc.Compression.Gzip, timeout=PATIENCE)
    expect(reply.message.aggregated_payload_size, 73_086, "the sum of the sizes")


def server_compressed_streaming(stub):
    expected = [(31_415, True), (92_653, False)]
    request = asking(*(size for size, _ in expected), compressed=[flag for _, flag in expected])
    replies = list(stub.StreamingOutputCall(request, timeout=PATIENCE))
    expect(len(replies), len(expected), "the number of replies")
    for reply, (size, compressed) in zip(replies, expected):
        expect(reply.compressed, compressed, f"the reply of {size} bytes is compressed")
        expect_zeros(reply, size)


CASES = [empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream,
         cancel_after_begin, cancel_after_first_response, timeout_on_sleeping_server,
         custom_metadata, status_code_and_message, special_status_message, unimplemented_method,
         unimplemented_service, client_compressed_unary, server_compressed_unary,
         client_compressed_streaming, server_compressed_streaming]


def open_channel(address, authority=None, name=None):
    options = [AS_THEY_COME, ("grpc.enable_http_proxy", 0)]
    if authority is None:
        return grpc.insecure_channel(address, options)
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(
        address, credentials, options + [("grpc.ssl_target_name_override", name)])


def main():
    failed = 0
    with open_channel(*sys.argv[1:]) as channel:
        stub = Stub(channel)
        for case in CASES:
            try:
                case(stub)
                print("passed", case.__name__, flush=True)
            except (Unexpected, grpc.RpcError, StopIteration) as error:
                failed += 1
                print(f"FAILED {case.__name__}: {error!r}", flush=True)
    print(f"{len(CASES) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


main()
