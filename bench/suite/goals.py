"""The goals that the project has set itself, and whether the figures meet them."""

from dataclasses import dataclass

from suite.cases import BINARY, DOCUMENTS

CPU = "server_cpu_us_per_request"


@dataclass(frozen=True)
class Goal:
    """`side` is what is compared: the ratio (above 1: ours is better), our figure, or the peer's
    (where the peer is another program of ours)."""

    what: str
    case: str
    metric: str
    peer: str | None
    side: str
    least: float | None = None
    most: float | None = None

    @property
    def text(self):
        bound = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        return f"{self.side} {bound}"

    def is_met_by(self, value):
        if self.least is not None:
            return value >= self.least
        return value <= self.most

    def fits(self, row):
        return (row["case"], row["metric"]) == (self.case, self.metric) and (
            self.peer is None or row["peer_name"] == self.peer)

    def value(self, row, _rows):
        return row[self.side]


@dataclass(frozen=True)
class SuspensionGoal(Goal):
    """What a suspension adds, on a machine where the plain C echo costs 3 us."""

    floor_case: str = ""

    @property
    def text(self):
        return f"ours - peer, at 3 us of c-floor, <= {self.most:g} us"

    def value(self, row, rows):
        floor = next((r["peer"] for r in rows if r["case"] == self.floor_case
                      and r["metric"] == CPU and r["peer_name"] == "c-floor"), None)
        if row["ours"] is None or row["peer"] is None or not floor:
            return None
        return (row["ours"] - row["peer"]) * 3 / floor


@dataclass(frozen=True)
class DifferenceGoal(Goal):
    """How much more than the peer's our figure may be."""

    @property
    def text(self):
        return f"ours - peer <= {self.most:g}"

    def value(self, row, _rows):
        if row["ours"] is None or row["peer"] is None:
            return None
        return row["ours"] - row["peer"]


TYPED, DIRECT = "unary 32B 8x32 typed async", "unary 32B 8x32 bytes direct"
COUNT = "allocations 32B 8x32 bytes direct"
NOISE = 0.05  # allocations that are not made per request
OPERATION_CPU, ALLOCATIONS = "cpu_us_per_operation", "allocations_per_operation"
OVERHEAD_MAX = 0.05  # of protobuf


def codec_goals():
    for operation, way, times in (("decode", "Codable", 5), ("decode", "direct", 10),
                                  ("encode", "Codable", 4), ("encode", "direct", 8)):
        for document in DOCUMENTS.values():
            case = f"JSON {operation} {document} {way}"
            yield Goal(f"{case}: CPU against Foundation", case, OPERATION_CPU, "foundation",
                       "ratio", least=times)
    for shown in BINARY.values():
        for document in DOCUMENTS.values():
            case = f"{shown} decode {document} Codable"
            yield Goal(f"{case}: CPU against JSON", case, OPERATION_CPU, "ours-json", "ratio",
                       least=1)
    yield Goal("JSON validate 1 MB feed: CPU against simdjson", "JSON validate 1 MB feed",
               OPERATION_CPU, "simdjson", "ratio", least=0.5)
    for operation in ("decode", "encode"):
        case = f"protobuf {operation} {DOCUMENTS['small']}"
        yield Goal(f"{case}: CPU against swift-protobuf", case, OPERATION_CPU, "swift-protobuf",
                   "ratio", least=round(1 / (1 + OVERHEAD_MAX), 3))
    case = f"JSON decode {DOCUMENTS['small']} Codable"
    yield DifferenceGoal(f"{case}: allocations beyond the value's", case, ALLOCATIONS,
                         "value-alone", "ours", most=1)


GOALS = (
    *(Goal(f"typed async: CPU against {peer}", TYPED, CPU, peer, "ratio", least=times)
      for peer, times in (("grpc-cpp", 4), ("grpc-go", 3), ("grpc-swift-2", 12))),
    *(Goal(f"bytes direct: CPU against {peer}", DIRECT, CPU, peer, "ratio", least=times)
      for peer, times in (("grpc-cpp", 8), ("grpc-go", 5), ("grpc-swift-2", 40))),
    Goal("bytes direct: CPU against the plain C echo, at most 1.25 times it", DIRECT, CPU,
         "c-floor", "ratio", least=0.8),
    Goal("1x64 with 200 us handlers: throughput of two cores against one",
         "unary 32B 1x64 busy 200us two cores", "requests_per_second", "ours-1-core", "ratio",
         least=1.7),
    Goal("p99 of a cheap call beside one of 20 ms, in us", "cheap beside heavy 20ms",
         "latency_p99_us", None, "ours", most=3000),
    Goal("requests of the busier of two loops, times the other's",
         "4 connections 2 loops balance", "busier_loop_ratio", None, "ours", most=1.5),
    SuspensionGoal("what a suspension adds to a direct handler, in us",
                   "unary 32B 8x32 bytes suspend", CPU, "ours-direct", "ours", most=1.5,
                   floor_case=DIRECT),
    Goal("client: CPU per call against grpc-cpp", "client 32B 8x32 typed",
         "client_cpu_us_per_request", "grpc-cpp", "ratio", least=5),
    Goal("1x1: p50 against grpc-cpp, at most 0.6 times it", "unary 32B 1x1 typed async",
         "latency_p50_us", "grpc-cpp", "ratio", least=round(1 / 0.6, 2)),
    Goal("chat: CPU per message against grpc-go", "chat 32B 8x32 bytes", CPU, "grpc-go", "ratio",
         least=3),
    Goal("4 KiB over TLS: throughput against plaintext grpc-cpp",
         "unary 4KiB 8x32 TLS against plaintext bytes direct", "requests_per_second", "grpc-cpp",
         "ratio", least=1),
    *(Goal(f"RPC over shared memory, {shape}: CPU against tcp", f"unary 32B {shape} over shm", CPU,
           "tcp", "ratio", least=2) for shape in ("8x32", "32x1")),
    Goal("memory of an idle connection, in bytes", "10000 idle connections",
         "rss_bytes_per_connection", None, "ours", most=8192),
    Goal("system allocations per request, C core", COUNT, "allocations_per_request", "c-core",
         "peer", most=NOISE),
    Goal("system allocations per request, Swift", COUNT, "allocations_per_request", None, "ours",
         most=1 + NOISE),
    *codec_goals(),
)


@dataclass(frozen=True)
class Verdict:
    goal: Goal
    value: float | None

    @property
    def word(self):
        if self.value is None:
            return "not measured"
        return "met" if self.goal.is_met_by(self.value) else "NOT met"


def judge(rows):
    """A verdict for each goal. The rows that goals are about get `goal` and `goal_met`."""
    return [_judged(goal, rows) for goal in GOALS]


def _judged(goal, rows):
    row = next((row for row in rows if goal.fits(row)), None)
    value = goal.value(row, rows) if row else None
    if row:
        met = None if value is None else goal.is_met_by(value)
        before = row.get("goal")
        row["goal"] = f"{before}; {goal.text}" if before else goal.text
        row["goal_met"] = met if before is None else bool(met and row["goal_met"])
    return Verdict(goal, value)
