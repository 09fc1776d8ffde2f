"""A stock gRPC server, grpcio, with messages in JSON. Prints "port N"; serves until its input ends.

/peer.Peer/Echo, See (what came), Fail (as asked, with details), Slow (until it is cancelled; prints
"cancelled"), Empty (an empty message), Large (so many bytes).
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def status(code, message, domain, reason, metadata):
    """google.rpc.Status with a google.rpc.ErrorInfo."""
    info = field(1, reason.encode()) + field(2, domain.encode())
    for key, value in metadata.items():
        info += field(3, field(1, key.encode()) + field(2, value.encode()))
    packed = field(1, b"type.googleapis.com/google.rpc.ErrorInfo") + field(2, info)
    return field(1, code) + field(2, message.encode()) + field(3, packed)


def echo(request, context):
    return request


def see(request, context):
    context.send_initial_metadata((("x-first", "1"), ("x-raw-bin", b"\x00\xff")))
    context.set_trailing_metadata((("x-last", "2"),))
    metadata = [[name, value if isinstance(value, str) else list(value)]
                for name, value in context.invocation_metadata()]
    return json.dumps({"metadata": metadata, "remaining": context.time_remaining() or -1}).encode()


def fail(request, context):
    order = json.loads(request)
    code = next(code for code in grpc.StatusCode if code.value[0] == order["code"])
    if order["withDetails"]:
        details = status(order["code"], order["detail"], "peer.fail", "BURNT", {"dish": "soufflé"})
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
    context.abort(code, order["detail"])


def slow(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    print("started", flush=True)
    over.wait(60)
    print("cancelled" if not context.is_active() else "not cancelled", flush=True)
    return request


def empty(request, context):
    return b""


def large(request, context):
    return b'"' + b"x" * (json.loads(request) - 2) + b'"'


def main():
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[
        ("grpc.max_send_message_length", 16 << 20)])
    handlers = {function.__name__.capitalize(): grpc.unary_unary_rpc_method_handler(function)
                for function in (echo, see, fail, slow, empty, large)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Peer", handlers),))
    print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


main()
