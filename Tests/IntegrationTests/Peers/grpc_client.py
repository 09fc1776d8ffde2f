"""A stock gRPC client, grpcio. usage: grpc_client.py HOST:PORT SCENARIO

Each scenario prints what it saw as one line of JSON; the Swift test judges it.
"""

import base64
import json
import sys
import threading
import zlib

import grpc

ADDRESS, SCENARIO = sys.argv[1], sys.argv[2]


def to_json(message):
    return json.dumps(message).encode()


def method(channel, name, serialize=to_json, deserialize=json.loads):
    return channel.unary_unary(f"/kitchen.Kitchen/{name}", serialize, deserialize)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """The (number, value) pairs of a protobuf message: google.rpc.Status has no others."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
            assert len(value) == length
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def decode_status(data):
    """google.rpc.Status with one google.rpc.ErrorInfo."""
    status = {"code": 0, "message": "", "types": [], "reason": "", "domain": "", "metadata": {}}
    for number, value in fields(data):
        if number == 1:
            status["code"] = value
        elif number == 2:
            status["message"] = value.decode()
        elif number == 3:
            packed = dict(fields(value))
            status["types"].append(packed[1].decode())
            if not packed[1].endswith(b"google.rpc.ErrorInfo"):
                continue
            for inner, field in fields(packed[2]):
                if inner == 1:
                    status["reason"] = field.decode()
                elif inner == 2:
                    status["domain"] = field.decode()
                elif inner == 3:
                    entry = dict(fields(field))
                    status["metadata"][entry[1].decode()] = entry[2].decode()
    return status


def error_of(error):
    trailers = dict(error.trailing_metadata() or ())
    raw = trailers.get("grpc-status-details-bin")
    return {
        "code": error.code().value[0],
        "details": error.details(),
        "status": decode_status(raw) if raw is not None else None,
    }


def failing(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        return error_of(error)
    return {"code": 0, "details": "", "status": None}


def unary(channel):
    reply = method(channel, "Echo")({"text": "crème", "number": 7}, timeout=30)
    return {"text": reply["text"], "number": reply["number"]}


def errors(channel):
    call = method(channel, "Fail")
    detail = "line\nü %41"
    return [failing(call, {"code": code, "detail": detail}, timeout=30) for code in range(1, 17)]


def malformed(channel):
    call = method(channel, "Echo", serialize=lambda message: message)
    return [failing(call, message, timeout=30) for message in (b"{", b'{"number":1}', b"")]


def deadline(channel):
    return failing(method(channel, "Slow"), {"milliseconds": 600_000}, timeout=0.3)


def cancel(channel):
    """Cancels when a line comes in, and then makes another call on the channel."""
    future = method(channel, "Slow").future({"milliseconds": 600_000})
    sys.stdin.readline()
    future.cancel()
    try:
        future.result()
        outcome = "answered"
    except grpc.FutureCancelledError:
        outcome = "cancelled"
    return {"outcome": outcome, "code": future.code().value[0], "next": unary(channel)["text"]}


def metadata(channel):
    sent = (("x-text", "a"), ("x-text", "b"), ("x-bytes-bin", b"\x00\x01\xff"),
            ("x-request-id", "r-7"))
    reply, call = method(channel, "See").with_call({"text": ""}, timeout=30, metadata=sent)
    received = [*call.initial_metadata(), *call.trailing_metadata()]
    texts = [[name, value] for name, value in received if isinstance(value, str)]
    binary = [[name, base64.b64encode(value).decode()] for name, value in received
              if isinstance(value, bytes)]
    return {"reply": reply, "received": texts + binary}


def unknown(channel):
    paths = ("/kitchen.Kitchen/Nothing", "/other.Kitchen/Echo", "/kitchen.Kitchen", "/x")
    return [failing(channel.unary_unary(path), b"{}", timeout=30) for path in paths]


def large(channel):
    """The largest message there and back, and one byte more."""
    call = method(channel, "Bytes", bytes, bytes)
    reply = call(b"x" * (4 << 20), timeout=60)
    refused = failing(call, b"x" * ((4 << 20) + 1), timeout=60)
    return {"length": len(reply), "refused": refused, "next": len(call(b"abc", timeout=30))}


def coding_of(data):
    return {b"\x1f": "gzip", b"\x78": "deflate"}.get(data[:1], "identity")


def codings(_):
    """Calls that are compressed, and with what the replies are, which grpcio would hide."""
    text, seen = "crème" * 1000, []
    options = [("grpc.per_message_decompression", 0), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(ADDRESS, options) as channel:
        call = method(channel, "Echo", deserialize=bytes)
        for coding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            reply = call({"text": text}, timeout=30, compression=coding)
            plain = zlib.decompress(reply, wbits=47)
            seen.append({"coding": coding.name.lower(), "text": json.loads(plain)["text"],
                         "replyCoding": coding_of(reply)})
    return seen


def streams(channel):
    """Calls of a kind that the service does not offer."""
    many = [b'{"text":"1"}', b'{"text":"2"}']
    call = channel.stream_unary("/kitchen.Kitchen/Echo")
    return failing(lambda: call(iter(many), timeout=30))


def many(channel):
    """A thousand calls at the same time on one connection."""
    call, answered = method(channel, "Echo"), threading.Semaphore(0)
    futures = []
    for number in range(1000):
        future = call.future({"text": f"call {number}", "number": number}, timeout=60)
        future.add_done_callback(lambda _: answered.release())
        futures.append(future)
    for _ in futures:
        answered.acquire()
    replies = [future.result() for future in futures]
    right = [reply == {"text": f"call {n}", "number": n} for n, reply in enumerate(replies)]
    return {"right": sum(right)}


def main():
    options = [("grpc.max_receive_message_length", 8 << 20), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(ADDRESS, options) as channel:
        print(json.dumps(globals()[SCENARIO](channel)))


main()
