"""HTTP peers that misbehave. usage: http_peer.py HOST:PORT SCENARIO [ARGUMENT]

Each scenario prints what it saw as one line of JSON; the Swift test judges it. Frames are written
with hyperframe and hpack, so that they can be wrong.
"""

import json
import socket
import struct
import sys
import time

import h2.config
import h2.connection
import h2.events
from hpack import Encoder
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame,
                              PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame)

HOST, PORT = sys.argv[1].rsplit(":", 1)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATIENCE = 60


def connect():
    peer = socket.create_connection((HOST, int(PORT)), timeout=PATIENCE)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def read_to_end(peer):
    """What comes until the other side closes, and whether it did."""
    received = bytearray()
    try:
        while True:
            data = peer.recv(1 << 16)
            if not data:
                return bytes(received), True
            received += data
    except ConnectionError:
        return bytes(received), True
    except TimeoutError:
        return bytes(received), False


def frames(data):
    while len(data) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        if len(data) < 9 + length:
            return
        frame.parse_body(memoryview(data[9:9 + length]))
        yield frame
        data = data[9 + length:]


def request_headers(path="/kitchen/Kitchen.Echo", *more):
    return [(":method", "POST"), (":scheme", "http"), (":authority", "kitchen"), (":path", path),
            ("content-type", "application/json"), *more]


# ---- Connections that come to nothing -----------------------------------------------------------


def first_bytes(data):
    """Sends `data` and waits to be thrown out."""
    with connect() as peer:
        began = time.monotonic()
        peer.sendall(data)
        received, closed = read_to_end(peer)
        return {"closed": closed, "seconds": time.monotonic() - began,
                "answer": received.decode("latin-1")}


def garbage():
    tls = bytes.fromhex("160301020001") + bytes(range(256)) * 2
    return [first_bytes(data) for data in (tls, b"\x00" * 64, b"SSH-2.0-probe\r\n", b"\xff\xfe{}")]


def silence():
    return [first_bytes(b""), first_bytes(PREFACE[:10]), first_bytes(PREFACE),
            first_bytes(b"POST /kitchen/Kitchen.Echo HT"),
            first_bytes(b"POST /kitchen/Kitchen.Echo HTTP/1.1\r\nHost: x\r\nContent-Le"),
            first_bytes(b"POST /kitchen/Kitchen.Echo HTTP/1.1\r\nHost: x\r\n"
                        b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{")]


def scan():
    """A port scanner: half of the connections are closed, half reset."""
    for number in range(300):
        peer = connect()
        if number % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    return {"connections": 300}


# ---- HTTP/1.1: what must be refused, and not repaired --------------------------------------------

HEAD = b"POST /kitchen/Kitchen.Echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"text":"a"}'
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

SMUGGLING = {
    "both lengths": HEAD + b"Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, reversed": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 12\r\nContent-Length: 13\r\n\r\n" + BODY,
    "list of lengths": HEAD + b"Content-Length: 12, 13\r\n\r\n" + BODY,
    "signed length": HEAD + b"Content-Length: +12\r\n\r\n" + BODY,
    "negative length": HEAD + b"Content-Length: -12\r\n\r\n" + BODY,
    "hexadecimal length": HEAD + b"Content-Length: 0xC\r\n\r\n" + BODY,
    "huge length": HEAD + b"Content-Length: 18446744073709551616\r\n\r\n" + BODY,
    "empty length": HEAD + b"Content-Length: \r\n\r\n" + BODY,
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding behind chunked": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "vertical tab": HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "space before the colon": HEAD + b"Content-Length : 12\r\n\r\n" + BODY,
    "folded line": HEAD + b"X-A: 1\r\n 2\r\nContent-Length: 12\r\n\r\n" + BODY,
    "bare LF": HEAD + b"X-A: 1\nContent-Length: 12\r\n\r\n" + BODY,
    "bare CR": HEAD + b"X-A: 1\rX-B: 2\r\nContent-Length: 12\r\n\r\n" + BODY,
    "NUL": HEAD + b"X-A: 1\x00\r\nContent-Length: 12\r\n\r\n" + BODY,
    "name that is no token": HEAD + b"X(A): 1\r\nContent-Length: 12\r\n\r\n" + BODY,
    "no name": HEAD + b": 1\r\nContent-Length: 12\r\n\r\n" + BODY,
    "no colon": HEAD + b"nonsense\r\nContent-Length: 12\r\n\r\n" + BODY,
    "no host": b"POST /kitchen/Kitchen.Echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two hosts": HEAD + b"Host: y\r\nContent-Length: 12\r\n\r\n" + BODY,
    "version": b"POST / HTTP/1.2\r\nHost: x\r\n\r\n".replace(b"1.2", b"1.x"),
    "no version": b"POST /kitchen/Kitchen.Echo\r\nHost: x\r\n\r\n",
    "two spaces": b"POST  /kitchen/Kitchen.Echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+C\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size with a prefix": CHUNKED + b"0xC\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk size too large": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n" + BODY,
    "chunk without its end": CHUNKED + b"C\r\n" + BODY + b"XX0\r\n\r\n",
    "chunk size ended by LF": CHUNKED + b"C\n" + BODY + b"\r\n0\r\n\r\n",
}


def smuggling():
    """Each request is followed by another, which must not be answered."""
    outcomes = {}
    for name, request in SMUGGLING.items():
        with connect() as peer:
            try:
                peer.sendall(request + HEAD + b"Content-Length: 12\r\n\r\n" + BODY)
            except ConnectionError:
                pass
            received, closed = read_to_end(peer)
        answers = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        outcomes[name] = {"closed": closed,
                          "statuses": [int(answer.split()[1]) for answer in answers]}
    return outcomes


# ---- HTTP/2 -------------------------------------------------------------------------------------


class Attacker:
    """A connection that has shaken hands; sends bytes and counts what comes back."""

    def __init__(self):
        self.peer = connect()
        self.encoder = Encoder()
        self.received = bytearray()
        self.closed = False
        self.send(PREFACE + SettingsFrame(0).serialize())
        self.send(SettingsFrame(0, flags=["ACK"]).serialize())

    def send(self, data):
        """Sends all of it, and reads meanwhile; False when the other side has closed."""
        self.peer.setblocking(False)
        deadline = time.monotonic() + PATIENCE
        view = memoryview(data)
        while view and not self.closed and time.monotonic() < deadline:
            self.read()
            try:
                view = view[self.peer.send(view):]
            except BlockingIOError:
                time.sleep(0.001)
            except ConnectionError:
                self.closed = True
        return not self.closed

    def read(self):
        try:
            while True:
                data = self.peer.recv(1 << 16)
                if not data:
                    self.closed = True
                    return
                self.received += data
        except BlockingIOError:
            pass
        except ConnectionError:
            self.closed = True

    def headers(self, stream, fields, *flags):
        data = self.encoder.encode(fields)
        return HeadersFrame(stream, data, flags=["END_HEADERS", *flags]).serialize()

    def finish(self, **more):
        """Reads what is left, and sums up."""
        deadline = time.monotonic() + PATIENCE
        self.peer.setblocking(False)
        while not self.closed and time.monotonic() < deadline:
            self.read()
            time.sleep(0.001)
        self.peer.close()
        counts, goaways = {}, []
        for frame in frames(bytes(self.received)):
            name = type(frame).__name__
            counts[name] = counts.get(name, 0) + 1
            if isinstance(frame, GoAwayFrame):
                goaways.append(frame.error_code)
        return {"closed": self.closed, "goaways": goaways,
                "resets": counts.get("RstStreamFrame", 0), **more}


def flood(make, count, batch=50):
    """Sends frames of `make(attacker, number)` until it is thrown out."""
    attacker, sent = Attacker(), 0
    while sent < count:
        data = b"".join(make(attacker, sent + n) for n in range(batch))
        sent += batch
        if not attacker.send(data):
            break
    return attacker.finish(sent=sent)


def cancelled_call(attacker, number):
    stream = 2 * number + 1
    return (attacker.headers(stream, request_headers("/kitchen/Kitchen.Slow"))
            + DataFrame(stream, b'{"milliseconds":600000}', flags=["END_STREAM"]).serialize()
            + RstStreamFrame(stream, error_code=8).serialize())


def rapid_reset():
    return flood(cancelled_call, 50_000)


def cancel_storm():
    """As many as a client may cancel in good faith; then a call that is not cancelled."""
    attacker, last = Attacker(), 2 * 5000 + 1
    for number in range(5000):
        attacker.send(cancelled_call(attacker, number))
    attacker.send(attacker.headers(last, request_headers())
                  + DataFrame(last, BODY, flags=["END_STREAM"]).serialize())
    deadline = time.monotonic() + PATIENCE
    while not attacker.closed and time.monotonic() < deadline:
        attacker.read()
        ended = [frame for frame in frames(bytes(attacker.received))
                 if isinstance(frame, DataFrame) and "END_STREAM" in frame.flags]
        if ended:
            break
        time.sleep(0.01)
    attacker.peer.close()
    return {"closed": attacker.closed, "answers": [bytes(frame.data).decode() for frame in ended]}


def made_you_reset():
    """Each stream makes the server reset it: more body than was announced."""
    def make(attacker, number):
        stream = 2 * number + 1
        fields = request_headers("/kitchen/Kitchen.Slow", ("content-length", "1"))
        return (attacker.headers(stream, fields)
                + DataFrame(stream, b'{"milliseconds":600000}').serialize())
    return flood(make, 20_000)


def ping_flood():
    return flood(lambda attacker, number: PingFrame(0, opaque_data=b"12345678").serialize(), 50_000)


def settings_flood():
    return flood(lambda attacker, number: SettingsFrame(0, settings={4: 65535}).serialize(), 50_000)


def empty_data():
    def make(attacker, number):
        begin = attacker.headers(1, request_headers()) if number == 0 else b""
        return begin + DataFrame(1, b"").serialize()
    return flood(make, 100_000)


def continuation_flood():
    def make(attacker, number):
        if number == 0:
            data = attacker.encoder.encode(request_headers())
            return HeadersFrame(1, data).serialize()
        return ContinuationFrame(1, b"\x00\x01a\x01b").serialize()
    return flood(make, 20_000)


def window_overflow():
    def make(attacker, number):
        return WindowUpdateFrame(0, window_increment=0x7FFFFFFF).serialize()
    return flood(make, 100)


def huge_headers():
    """A header list over the limit on one stream; the connection lives on."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    with connect() as peer:
        connection.initiate_connection()
        fat = [(f"x-{n}", "v" * 400) for n in range(50)]
        connection.send_headers(1, request_headers("/kitchen/Kitchen.Echo", *fat), end_stream=True)
        connection.send_headers(3, request_headers())
        connection.send_data(3, BODY, end_stream=True)
        peer.sendall(connection.data_to_send())
        streams = talk(peer, connection, 2)
    return {"statuses": [streams[1][":status"], streams[3][":status"]]}


def too_many_headers():
    """So much that the connection must go."""
    attacker = Attacker()
    attacker.encoder.header_table_size = 0
    data = attacker.encoder.encode(request_headers() + [(f"x-{n}", "v" * 400) for n in range(2000)])
    parts = [data[at:at + 16000] for at in range(0, len(data), 16000)]
    attacker.send(HeadersFrame(1, parts[0]).serialize() + b"".join(
        ContinuationFrame(1, part).serialize() for part in parts[1:]))
    return attacker.finish(sent=len(data))


def talk(peer, connection, expected):
    """Receives until so many streams have ended; their headers, with the body as "body"."""
    streams, ended = {}, 0
    while ended < expected:
        data = peer.recv(1 << 16)
        if not data:
            raise SystemExit(f"closed after {ended} of {expected}: {streams}")
        for event in connection.receive_data(data):
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                streams.setdefault(event.stream_id, {}).update(dict(event.headers))
            elif isinstance(event, h2.events.DataReceived):
                stream = streams.setdefault(event.stream_id, {})
                stream["body"] = stream.get("body", "") + event.data.decode("latin-1")
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                ended += 1
            elif isinstance(event, h2.events.StreamReset):
                streams.setdefault(event.stream_id, {})["reset"] = str(event.error_code)
                ended += 1
        peer.sendall(connection.data_to_send())
    return streams


def early_refusals():
    """Requests that are refused before their bodies have come: each answer is complete, and the
    connection lives on."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    with connect() as peer:
        connection.initiate_connection()
        connection.send_headers(1, request_headers("/kitchen/Kitchen.Nothing"))
        put = request_headers()
        put[0] = (":method", "PUT")
        connection.send_headers(3, put)
        connection.send_headers(5, request_headers("/kitchen/Kitchen.Echo", ("micro-timeout", "x")))
        peer.sendall(connection.data_to_send())
        streams = talk(peer, connection, 3)
        connection.send_headers(7, request_headers())
        connection.send_data(7, BODY, end_stream=True)
        peer.sendall(connection.data_to_send())
        streams |= talk(peer, connection, 1)
    return [{"status": stream.get(":status", ""), "type": stream.get("content-type", ""),
             "body": stream.get("body", "")} for _, stream in sorted(streams.items())]


def grpc_types():
    """A gRPC call for each content type: what grpcio can't choose."""
    types = ["application/grpc", "application/grpc+json", "application/grpc+json;charset=utf-8",
             "application/grpc+proto", "application/grpc+nonsense"]
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    with connect() as peer:
        connection.initiate_connection()
        for number, content_type in enumerate(types):
            fields = request_headers("/kitchen.Kitchen/Echo", ("te", "trailers"))
            fields[4] = ("content-type", content_type)
            connection.send_headers(2 * number + 1, fields)
            connection.send_data(2 * number + 1, b"\x00" + struct.pack(">I", len(BODY)) + BODY,
                                 end_stream=True)
        peer.sendall(connection.data_to_send())
        streams = talk(peer, connection, len(types))
    return [{"type": content_type, "status": streams[2 * number + 1].get("grpc-status", ""),
             "answerType": streams[2 * number + 1].get("content-type", ""),
             "message": streams[2 * number + 1].get("grpc-message", ""),
             "body": streams[2 * number + 1].get("body", "")[5:]}
            for number, content_type in enumerate(types)]


print(json.dumps(globals()[sys.argv[2]]()))
