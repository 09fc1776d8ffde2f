"""grpc.testing.TestService, the server of the public interoperability tests, with grpcio.

usage: interop_server.py [CERTIFICATE KEY]

Prints "port N"; serves until its input ends.
"""

import sys
import time
from concurrent import futures

import grpc
from interop_messages import (AS_THEY_COME, INITIAL, MESSAGES, METHODS, TRAILING, receiving,
                              sending)

BODY_BYTES_MAX = 4 << 20


def echo_metadata(context):
    metadata = dict(context.invocation_metadata())
    if INITIAL in metadata:
        context.send_initial_metadata(((INITIAL, metadata[INITIAL]),))
    if TRAILING in metadata:
        context.set_trailing_metadata(((TRAILING, metadata[TRAILING]),))


def check_compressed(received, context):
    message = received.message
    if message.HasField("expect_compressed"):
        if message.expect_compressed.value != received.compressed:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is "
                          + ("compressed" if received.compressed else "not compressed"))


def check_status(message, context):
    wanted = message.response_status
    if message.HasField("response_status") and wanted.code != 0:
        code = next(code for code in grpc.StatusCode if code.value[0] == wanted.code)
        context.abort(code, wanted.message)


def payload(size, context):
    if not 0 <= size <= BODY_BYTES_MAX:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"a body of {size} bytes")
    return MESSAGES["Payload"](body=bytes(size))


def empty_call(request, context):
    echo_metadata(context)
    return MESSAGES["Empty"]()


def unary_call(request, context):
    message = request.message
    if message.response_compressed.value:
        context.set_compression(grpc.Compression.Gzip)
    echo_metadata(context)
    check_compressed(request, context)
    check_status(message, context)
    return MESSAGES["SimpleResponse"](payload=payload(message.response_size, context))


def replies(message, context):
    check_status(message, context)
    for parameters in message.response_parameters:
        time.sleep(parameters.interval_us / 1e6)
        if not parameters.compressed.value:
            context.disable_next_message_compression()
        yield MESSAGES["StreamingOutputCallResponse"](payload=payload(parameters.size, context))


def streaming_output_call(request, context):
    if any(parameters.compressed.value for parameters in request.message.response_parameters):
        context.set_compression(grpc.Compression.Gzip)
    echo_metadata(context)
    yield from replies(request.message, context)


def streaming_input_call(requests, context):
    echo_metadata(context)
    size = 0
    for request in requests:
        check_compressed(request, context)
        size += len(request.message.payload.body)
    return MESSAGES["StreamingInputCallResponse"](aggregated_payload_size=size)


def full_duplex_call(requests, context):
    echo_metadata(context)
    for request in requests:
        yield from replies(request.message, context)


def half_duplex_call(requests, context):
    echo_metadata(context)
    for request in list(requests):
        yield from replies(request.message, context)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[AS_THEY_COME])
    functions = [empty_call, unary_call, streaming_output_call, streaming_input_call,
                 full_duplex_call, half_duplex_call]
    handlers = {}
    for (name, (request, _, many_requests, many_replies)), function in zip(
            METHODS.items(), functions, strict=True):
        make = {(False, False): grpc.unary_unary_rpc_method_handler,
                (False, True): grpc.unary_stream_rpc_method_handler,
                (True, False): grpc.stream_unary_rpc_method_handler,
                (True, True): grpc.stream_stream_rpc_method_handler}[many_requests, many_replies]
        handlers[name] = make(function, receiving(request), sending)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.testing.TestService", handlers),))
    if len(sys.argv) > 1:
        with open(sys.argv[1], "rb") as certificate, open(sys.argv[2], "rb") as key:
            credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    print("port", port, flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


main()
