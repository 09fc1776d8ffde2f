"""What loads a server: h2load, the load generator in bench/load, and the frameworks' clients."""

import json
import math
import os
import re
import statistics
import tempfile
from dataclasses import dataclass

from suite import process
from suite.process import Failed, Starved, Unsupported

SLOWEST_SECONDS = 20  # what a run may take beyond its planned time


@dataclass(frozen=True)
class Shape:
    """How many connections, and how many streams are in flight on each."""

    connections: int
    streams: int

    def __str__(self):
        return f"{self.connections}x{self.streams}"


@dataclass(frozen=True)
class Run:
    """What a load has seen. `bytes` is what came back in DATA frames, None when not known."""

    requests: int
    failures: int
    rate: float
    bytes: int | None = None
    reason: str = ""


class H2load:
    """`h2load`, the common load of all that speaks HTTP/2."""

    def __init__(self, url, shape, body=None, content_type="application/grpc", cpus=None):
        self.cpus = cpus
        self.in_flight = shape.connections * shape.streams
        self.last_rate = None
        self.argv = ["h2load", "-c", str(shape.connections), "-m", str(shape.streams), "-t", "1"]
        if body:
            self.argv += ["-H", f"content-type: {content_type}", "-H", "te: trailers", "-d", body]
        self.url = url

    def rate(self, seconds):
        """A run that is not counted: how many requests per second there may be. It, too, lets all
        requests come to their end: h2load's own way to stop after some time cuts streams off."""
        if not self.last_rate:
            self.last_rate = self._rate_of(4 * self.in_flight + 200, seconds)
        self.last_rate = self._rate_of(math.ceil(self.last_rate * seconds), seconds)
        return self.last_rate

    def _rate_of(self, count, seconds):
        run = self.requests(count, seconds)
        if run.failures or run.rate <= 0:
            raise Failed(f"while warming up: {run.reason or 'no request was answered'}")
        return run.rate

    def requests(self, count, seconds):
        """A fixed number of requests; they are expected to take so many seconds."""
        return self._run(["-n", str(max(count, self.in_flight))], seconds)

    def latencies(self, count, seconds):
        """The sorted microseconds of so many requests."""
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
        with tempfile.NamedTemporaryFile("r", dir=folder, prefix="bench-") as log:
            run = self._run(["-n", str(max(count, self.in_flight)), f"--log-file={log.name}"],
                            seconds)
            if run.failures:
                raise Failed(run.reason)
            return sorted(int(line.split("\t")[2]) for line in log)

    def _run(self, options, seconds):
        code, out, err = process.run(self.argv + options + [self.url],
                                     seconds * 5 + SLOWEST_SECONDS, self.cpus)
        if code:
            raise Failed(f"h2load: {(err or out).strip()[-200:]}")
        return parse_h2load(out)


def parse_h2load(text):
    """What h2load printed. Requests that got another status than 2xx have failed, too."""
    finished = re.search(r"^finished in \S+, ([\d.]+) req/s", text, re.M)
    requests = re.search(r"^requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, "
                         r"(\d+) failed, (\d+) errored, (\d+) timeout", text, re.M)
    status = re.search(r"^status codes: (\d+) 2xx", text, re.M)
    traffic = re.search(r"^traffic: .*\((\d+)\) data$", text, re.M)
    if not (finished and requests and status and traffic):
        raise Failed("h2load printed no summary")
    total, _, done, succeeded, failed, errored, timeout = map(int, requests.groups())
    failures = max(total - min(succeeded, int(status[1])), failed)
    return Run(requests=done, failures=failures, rate=float(finished[1]), bytes=int(traffic[1]),
               reason=f"{failures} of {total} requests failed ({errored} errored, "
                      f"{timeout} timed out)" if failures else "")


class Caller:
    """A program that calls for some seconds and prints one line of JSON: the clients of the
    frameworks (`PROGRAM call`), and bench/load."""

    def __init__(self, argv, cpus=None, env=None):
        self.argv = argv
        self.cpus = cpus
        self.env = {**os.environ, **(env or {})}

    def run(self, seconds, warmup=0.0):
        """The JSON, in which `failures` is 0."""
        argv = self.argv + ["--seconds", number(seconds), "--warmup", number(warmup)]
        code, out, err = process.run(argv, (seconds + warmup) * 2 + SLOWEST_SECONDS, self.cpus,
                                     env=self.env)
        return parse_call(os.path.basename(argv[0]), code, out, err)


def number(value):
    return f"{value:g}"


def parse_call(name, code, out, err):
    said = err.strip().splitlines()
    if code == 2:
        raise Unsupported(said[-1] if said else f"{name}: exit code 2")
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"{name}: {said[-1] if said else f'exit code {code}, no JSON'}")
    try:
        result = json.loads(lines[-1])
    except json.JSONDecodeError:
        raise Failed(f"{name} printed no JSON: {lines[-1][:80]}") from None
    failures, requests = result.get("failures", 0), result.get("requests", 0)
    if failures:
        raise Failed(f"{name}: {failures} of {requests + failures} failed"
                     + (f": {said[-1]}" if said else ""))
    if not requests:
        raise Starved(f"{name}: no request was answered")
    if code:
        raise Failed(f"{name}: {said[-1] if said else f'exit code {code}'}")
    return result


def percentiles(latencies):
    """p50, p99 and p99.9 of sorted values."""
    if len(latencies) < 2:
        raise Failed("too few requests for percentiles")
    cuts = statistics.quantiles(latencies, n=1000, method="inclusive")
    return {"latency_p50_us": cuts[499], "latency_p99_us": cuts[989],
            "latency_p999_us": cuts[998]}


def percentiles_of_call(result):
    return {f"latency_{name}_us": result[f"{name}_us"] for name in ("p50", "p99", "p999")}
