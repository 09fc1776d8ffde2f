"""Trials: one participant of one case, which can be sampled again and again."""

import os
from dataclasses import dataclass

from suite import load
from suite.load import Caller, H2load
from suite.process import Failed

LIST_MESSAGES = 200


@dataclass(frozen=True)
class Pace:
    """Seconds of the parts of a sample."""

    warmup: float
    measured: float
    latency: float


@dataclass(frozen=True)
class Bench:
    """What every trial needs to know."""

    machine: object
    programs: object
    pace: Pace
    work_folder: str
    log_folder: str

    def serve(self, case, name, setup, env=None):
        log = os.path.join(self.log_folder, f"{name}.log")
        # One core for one loop, also where the case has two: that is what two are compared with.
        cpus = self.machine.server_cpus(min(case.cores, setup.loops))
        return self.programs.serve(name, setup, cpus, log, env)

    def file(self, name):
        return os.path.join(self.work_folder, name)


class ServerTrial:
    """Loads a server of its own, which keeps running between the samples."""

    def __init__(self, bench, case, participant, env=None):
        self.bench, self.case, self.participant = bench, case, participant
        self.cpus = bench.machine.load_cpus(case.cores)
        self.server = bench.serve(case, participant.program, participant.setup, env)

    def sample(self):
        """`take()`; where that fails because the server has ended, this is said."""
        try:
            return self.take()
        except Failed:
            if self.server:
                self.server.require_running()
            raise

    def close(self):
        self.server.stop()

    def caller(self, program, **more):
        """A program of ours or of a peer that loads the server."""
        case, setup = self.case, self.participant.setup
        options = {"port": self.server.port, "connections": case.shape.connections,
                   "streams": case.shape.streams, "size": case.size, **more}
        argv = [self.bench.programs.path(program)]
        argv += ["call"] if program != "load" else []
        for name, value in options.items():
            argv += [f"--{name}", str(value)]
        if program == "load" and setup.tls:
            argv.append("--tls")
        return Caller(argv, self.cpus)

    def counted(self, run):
        """CPU of the server while `run()` goes on, which returns how many requests it made."""
        before = self.server.cpu_seconds()
        requests = run()
        cpu = self.server.cpu_seconds() - before
        if requests < 1:
            raise Failed("no request was answered")
        return cpu * 1e6 / requests


class UnaryTrial(ServerTrial):
    """h2load for the throughput and the CPU, bench/load for the latencies."""

    def __init__(self, bench, case, participant, env=None):
        super().__init__(bench, case, participant, env)
        self.load = self._h2load()

    def take(self):
        pace = self.bench.pace
        rate = self.load.rate(pace.warmup)
        count = int(rate * pace.measured)
        runs = []

        def run():
            runs.append(self.load.requests(count, pace.measured))
            return runs[0].requests

        cpu = self.counted(run)
        self._check(runs[0])
        sample = {"server_cpu_us_per_request": cpu, "requests_per_second": runs[0].rate,
                  "rss_bytes": self.server.rss_bytes()}
        if self.case.latency:
            sample.update(self._latencies(int(rate * pace.latency)))
        return sample

    def _h2load(self):
        scheme = "https" if self.participant.setup.tls else "http"
        base = f"{scheme}://127.0.0.1:{self.server.port}"
        case = self.case
        if self.participant.role == "ceiling":
            return H2load(f"{base}/{case.size}.bin", case.shape, cpus=self.cpus)
        extension = "json.grpc" if case.content_type.endswith("+json") else "grpc"
        body = self.bench.file(f"{case.size}.{extension}")
        return H2load(base + case.path, case.shape, body, case.content_type, self.cpus)

    def _check(self, run):
        if run.failures:
            raise Failed(run.reason)
        # An error of gRPC is a success of HTTP: it shows in the bytes that are missing.
        least = run.requests * (self.case.size * 3 // 4)
        if run.bytes < least:
            raise Failed(f"answers have {run.bytes // run.requests} bytes instead of "
                         f"{self.case.size + 5}: the calls fail")

    def _latencies(self, count):
        if self.participant.role == "ceiling" or not self.bench.programs.has("load"):
            seconds = self.bench.pace.latency
            return load.percentiles(self.load.latencies(max(count, 1000), seconds))
        caller = self.caller("load", kind="unary", path=self.case.path)
        return load.percentiles_of_call(caller.run(self.bench.pace.latency))


class StreamTrial(ServerTrial):
    """Streams, which h2load doesn't know: bench/load. A message is a request."""

    def take(self):
        caller = self._caller()
        caller.run(self.bench.pace.warmup)
        results = []

        def run():
            results.append(caller.run(self.bench.pace.measured))
            return messages_of(results[0])

        cpu = self.counted(run)
        result = results[0]
        return {"server_cpu_us_per_request": cpu,
                "requests_per_second": messages_of(result) / result["seconds"],
                "rss_bytes": self.server.rss_bytes(),
                **(load.percentiles_of_call(result) if self.case.latency else {})}

    def _caller(self):
        more = {"messages": LIST_MESSAGES} if self.case.kind == "list" else {}
        return self.caller("load", kind=self.case.kind, path=self.case.path, **more)


class EpollTrial(StreamTrial):
    """The raw echo, which only its own client can talk to."""

    def _caller(self):
        return self.caller("epoll")


class ClientTrial:
    """A framework's own client. All of a case call servers of the same program."""

    def __init__(self, bench, case, participant):
        self.bench, self.case = bench, case
        self.client = bench.programs.path(participant.program)
        name = "c-core" if case.server.codec == "bytes" else "ours"
        self.server = bench.serve(case, self._server_name(), case.server)
        argv = [self.client, "call", "--port", str(self.server.port),
                "--codec", case.server.codec, "--kind", "unary",
                "--connections", str(case.shape.connections),
                "--streams", str(case.shape.streams), "--size", str(case.size)]
        self.caller = Caller(argv, bench.machine.load_cpus())

    def _server_name(self):
        """For bytes a C server, which is less of what a call takes."""
        if self.case.server.codec != "bytes":
            return "ours"
        return "c-core" if self.bench.programs.has("c-core") else "c-floor"

    def sample(self):
        pace = self.bench.pace
        result = self.caller.run(pace.measured, pace.warmup)
        self.server.require_running()
        return {"client_cpu_us_per_request": result["cpu_us"] / result["requests"],
                "requests_per_second": result["requests"] / result["seconds"],
                **load.percentiles_of_call(result)}

    def close(self):
        self.server.stop()


class TransportTrial(ServerTrial):
    """Two programs of the C core over a transport: what a request costs both of them."""

    def take(self):
        pace, shape = self.bench.pace, self.case.shape
        argv = [self.bench.programs.path(self.participant.program), "call",
                "--transport", self.bench.programs.transport(self.participant.setup.transport),
                "--address", self._address(), "--connections", str(shape.connections),
                "--streams", str(shape.streams), "--size", str(self.case.size)]
        caller = Caller(argv, self.cpus)
        caller.run(pace.warmup)
        results = []

        def run():
            results.append(caller.run(pace.measured))
            return results[0]["requests"]

        before = self.server.system_seconds()
        cpu = self.counted(run)
        system = self.server.system_seconds() - before
        result = results[0]
        return {"server_cpu_us_per_request": cpu,
                "server_system_us_per_request": system * 1e6 / result["requests"],
                "client_cpu_us_per_request": result["cpu_us"] / result["requests"],
                "requests_per_second": result["requests"] / result["seconds"],
                **load.percentiles_of_call(result)}

    def _address(self):
        port = self.server.port
        return f"127.0.0.1:{port}" if isinstance(port, int) else port


def messages_of(result):
    return result.get("messages", result["requests"])
