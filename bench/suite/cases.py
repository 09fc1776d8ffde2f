"""The table of cases: what is measured, on whom, with how much work."""

import fnmatch
from dataclasses import dataclass, field, replace

from suite.load import Shape
from suite.peers import CHAT, HEAVY, LIST, UNARY, Setup

SUITES = ("rpc-server", "rpc-client", "streams", "tls", "transports", "memory", "scaling",
          "micro", "codecs")

FRAMEWORKS = ("grpc-cpp", "grpc-go", "grpc-swift-2")
CEILINGS = ("nghttpd", "h2o", "epoll")

BYTES = "bytes are echoed, not decoded; the handler runs in place or as the peer's codec lets it"
TYPED = "protobuf is decoded and encoded; the handler is async (Swift), a callback or a goroutine"
FILE = "a static file of the same size: a ceiling, not the same work"
SOCKET = "raw TCP, no HTTP/2: a ceiling, not the same work"


@dataclass(frozen=True)
class Participant:
    """One that is measured in a case. Roles: `ours` and `peer` do equal work; a `reference` is one
    of ours in another setting; a `ceiling` does less work and has no ratio."""

    name: str  # in the results
    program: str
    setup: Setup
    role: str
    work: str


@dataclass(frozen=True)
class Case:
    suite: str
    name: str
    kind: str  # unary, chat, list, client, idle, beside, balance, codec, scanner
    participants: tuple[Participant, ...]
    shape: Shape = Shape(8, 32)
    size: int = 32
    path: str = UNARY
    content_type: str = "application/grpc"
    latency: bool = False
    quick: bool = False
    cores: int = 1  # of the server
    repeat: int | None = None  # where another number of turns is better than that of the run
    server: Setup = field(default=Setup())  # of all, when clients are measured
    document: str = ""  # of codecs


def ours(codec, handler, work, name="ours", role="ours", **setup):
    return Participant(name, "ours", Setup(codec, handler, **setup), role, work)


def peers(codec, work, names=FRAMEWORKS, **setup):
    return tuple(Participant(name, name, Setup(codec, **setup), "peer", work) for name in names)


def of_core(work, **setup):
    return Participant("c-core", "c-core", Setup("bytes", **setup), "reference", work)


def ceilings(size):
    return tuple(Participant(name, name, Setup(size=size), "ceiling",
                             SOCKET if name == "epoll" else FILE) for name in CEILINGS)


def bytes_text(size):
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"


def label(size, shape):
    return f"{bytes_text(size).replace(' ', '')} {shape}"


SHAPES = {"8x32": Shape(8, 32), "1x1": Shape(1, 1), "1x64": Shape(1, 64), "64x16": Shape(64, 16)}
QUICK_SHAPES = ("8x32", "1x1")


def rpc_server():
    for size in (32, 4096):
        for name in SHAPES if size == 32 else QUICK_SHAPES:
            yield from unary(size, name)
    for handler, codec, work in HANDLERS:
        yield own_handlers(handler, codec, work)


def unary(size, shape_name):
    common = {"suite": "rpc-server", "kind": "unary", "size": size, "latency": True,
              "shape": SHAPES[shape_name], "quick": size == 32 and shape_name in QUICK_SHAPES}
    named = label(size, shape_name)
    yield Case(name=f"unary {named} typed async", participants=(
        ours("protobuf", "async", TYPED), *peers("protobuf", TYPED)), **common)
    yield Case(name=f"unary {named} bytes direct", participants=(
        ours("bytes", "direct", BYTES), of_core(BYTES), *peers("bytes", BYTES),
        *peers("bytes", BYTES, ["c-floor"]),
        *(ceilings(size) if shape_name in QUICK_SHAPES else ())), **common)


HANDLERS = (
    ("typed direct", ("protobuf", "direct"), "protobuf is decoded and encoded"),
    ("typed JSON", ("json", "async"), "JSON is decoded and encoded; the handler is async"),
    ("bytes async", ("bytes", "async"), "bytes are echoed; the handler is async"),
    ("bytes suspend", ("bytes", "suspend"), "bytes are echoed; the handler suspends once"),
)


def own_handlers(name, setup, work):
    """A kind of handler that only ours have, against our direct handler of bytes."""
    is_json = setup[0] == "json"
    return Case(
        suite="rpc-server", name=f"unary 32B 8x32 {name}", kind="unary",
        content_type="application/grpc+json" if is_json else "application/grpc",
        participants=(ours(*setup, work),
                      *(() if is_json else [ours("bytes", "direct", BYTES, "ours-direct",
                                                 "reference")])))


def rpc_client():
    for shape in QUICK_SHAPES:
        for codec, title, work in (("protobuf", "typed", TYPED), ("bytes", "bytes", BYTES)):
            yield Case(
                suite="rpc-client", name=f"client 32B {shape} {title}", kind="client",
                shape=SHAPES[shape], quick=codec == "protobuf", latency=True,
                server=Setup(codec, "direct"),
                participants=(ours(codec, None, f"{work}; discovery and selection included"),
                              *peers(codec, work)))


def streams():
    for codec, title, work, others in (("bytes", "bytes", BYTES, FRAMEWORKS + ("c-floor",)),
                                       ("protobuf", "typed", TYPED, FRAMEWORKS)):
        for shape in QUICK_SHAPES:
            yield Case(
                suite="streams", name=f"chat 32B {shape} {title}", kind="chat", path=CHAT,
                shape=SHAPES[shape], quick=codec == "bytes", latency=True,
                participants=(ours(codec, "async", work), *peers(codec, work, others)))
    yield Case(suite="streams", name="list 32B 8x4 typed", kind="list", path=LIST,
               shape=Shape(8, 4),
               participants=(ours("protobuf", "async", TYPED), *peers("protobuf", TYPED)))


def tls():
    tls_bytes = f"TLS 1.3; {BYTES}"
    yield Case(suite="tls", name="unary 4KiB 8x32 TLS bytes direct", kind="unary", size=4096,
               participants=(ours("bytes", "direct", tls_bytes, tls=True),
                             *peers("bytes", tls_bytes, tls=True)))
    yield Case(suite="tls", name="unary 4KiB 8x32 TLS against plaintext bytes direct",
               kind="unary", size=4096,
               participants=(ours("bytes", "direct", tls_bytes, tls=True),
                             *peers("bytes", f"plaintext; {BYTES}", ["grpc-cpp"])))


def transports():
    """RPC between two programs of the C core: shared memory, a plugin, against the built-in ones."""
    for shape in (SHAPES["8x32"], Shape(32, 1), SHAPES["1x1"]):
        yield Case(suite="transports", name=f"unary 32B {shape} over shm", kind="transport",
                   shape=shape, latency=True, participants=(
                       of_transport("shm", "ours"), of_transport("unix", "reference"),
                       of_transport("tcp", "reference")))


def of_transport(name, role):
    return Participant("ours" if role == "ours" else name, "c-core",
                       Setup("bytes", transport=name), role, f"RPC of the C core over {name}")


IDLE_CONNECTIONS = 10_000


def memory():
    work = "idle connections, on each of which there was one call"
    yield Case(suite="memory", name="10000 idle connections", kind="idle", repeat=1,
               shape=Shape(IDLE_CONNECTIONS, 1),
               participants=(ours("bytes", "direct", work), of_core(work),
                             *peers("bytes", work, FRAMEWORKS + ("c-floor",))))


    yield Case(suite="memory", name="allocations 32B 8x32 bytes direct", kind="allocations",
               repeat=1, participants=(
                   ours("bytes", "direct", BYTES), of_core(BYTES),
                   *peers("bytes", BYTES, ("grpc-cpp", "grpc-swift-2", "c-floor"))))


def scaling():
    yield Case(suite="scaling", name="unary 32B 8x32 bytes direct two cores", kind="unary",
               cores=2, participants=(
                   ours("bytes", "direct", BYTES, loops=2),
                   ours("bytes", "direct", BYTES, "ours-1-core", "reference")))
    busy = "an async handler of 200 us CPU"
    yield Case(suite="scaling", name="unary 32B 1x64 busy 200us two cores", kind="unary",
               cores=2, shape=SHAPES["1x64"], participants=(
                   ours("bytes", "busy", busy, loops=2, options=("--busy-us", "200")),
                   ours("bytes", "busy", busy, "ours-1-core", "reference",
                        options=("--busy-us", "200"))))
    beside = "bytes; p99 of calls beside others of 20 ms CPU on the same connection"
    yield Case(suite="scaling", name="cheap beside heavy 20ms", kind="beside", cores=2,
               shape=Shape(1, 1), path=HEAVY,
               participants=(ours("bytes", "async", beside, loops=2,
                                  options=("--heavy-us", "20000")),))
    yield Case(suite="scaling", name="4 connections 2 loops balance", kind="balance", cores=2,
               shape=Shape(4, 32),
               participants=(ours("bytes", "direct", BYTES, loops=2), of_core(BYTES, loops=2)))


def micro():
    yield Case(suite="micro", name="the C core without sockets", kind="micro", participants=())


DOCUMENTS = {"small": "small message", "records": "100 KB records", "feed": "1 MB feed"}
CODEC_TURNS = 5  # short ones
BINARY = {"msgpack": "MessagePack", "cbor": "CBOR"}
CODABLE = "a value of a Codable type"


def codecs():
    for operation in ("decode", "encode"):
        for document in DOCUMENTS:
            yield json_codable(operation, document)
            yield json_direct(operation, document)
    yield codec_case("JSON validate 1 MB feed", "feed", (
        codec("json", "validate", "feed", "it is valid or not; in C"),
        codec("json", "read", "feed", "a document is made of it, in C", "reference",
              "ours-document"),
        codec("simdjson", "read", "feed", "a document is made of it", "peer")), "scanner")
    for document, title in DOCUMENTS.items():
        for name, shown in BINARY.items():
            yield codec_case(f"{shown} decode {title} Codable", document, (
                codec(name, "decode", document, CODABLE),
                codec("json", "decode", document, CODABLE, "reference", "ours-json")))
    for operation in ("decode", "encode"):
        work = "a small message in its binary form"
        yield codec_case(f"protobuf {operation} {DOCUMENTS['small']}", "small", (
            codec("protobuf", operation, "small", work),
            codec("swift-protobuf", operation, "small", work, "peer")))


def json_codable(operation, document):
    more = []
    if document == "small":
        nothing = "what Codable itself does: values come from nowhere, and go nowhere"
        more.append(codec("codable", operation, document, nothing, "ceiling", "codable-alone"))
    if (operation, document) == ("decode", "small"):
        more.append(codec("value", operation, document, "the value is made, nothing is decoded",
                          "ceiling", "value-alone"))
    if (operation, document) == ("decode", "feed"):
        more.append(codec("json", operation, "sorted-feed", f"{CODABLE}, keys in another order",
                          "reference", "ours-sorted-keys"))
    return codec_case(f"JSON {operation} {DOCUMENTS[document]} Codable", document, (
        codec("json", operation, document, CODABLE),
        codec("foundation", operation, document, CODABLE, "peer"), *more))


def json_direct(operation, document):
    return codec_case(f"JSON {operation} {DOCUMENTS[document]} direct", document, (
        codec("json", operation, document, "a value with a direct protocol, written by hand",
              direct=True),
        codec("foundation", operation, document, CODABLE, "peer")))


def codec_case(name, document, participants, kind="codec"):
    return Case(suite="codecs", name=name, kind=kind, document=document, repeat=CODEC_TURNS,
                participants=tuple(participants))


def codec(codec_name, operation, document, work, role="ours", name=None, direct=False):
    """One that works on a document. `codec_name` is what the program `codecs` calls it."""
    program = codec_name if role == "peer" else "codecs"
    options = ("--codec", codec_name, "--operation", operation, "--document", document)
    if direct:
        options += ("--direct",)
    return Participant(name or ("ours" if role == "ours" else codec_name), program,
                       Setup(options=options), role, work)


TABLE = (rpc_server, rpc_client, streams, tls, transports, memory, scaling, micro, codecs)


def all_cases():
    return [case for suite in TABLE for case in suite()]


def select(cases, quick=False, pattern=None, peer_names=None):
    """The cases that are asked for, with the peers that are."""
    chosen = []
    for case in cases:
        if quick and not case.quick:
            continue
        text = f"{case.suite} {case.name}"
        if pattern and not fnmatch.fnmatch(text, f"*{pattern}*"):
            continue
        chosen.append(only_peers(case, peer_names))
    return chosen


def only_peers(case, names):
    if names is None:
        return case
    return replace(case, participants=tuple(
        p for p in case.participants if p.role in ("ours", "reference") or p.name in names))
