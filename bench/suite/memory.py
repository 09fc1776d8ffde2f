"""Memory: what an idle connection keeps, and what a request asks of the system's allocator."""

import os
import resource
import select
import subprocess
import tempfile
import time

from suite import process
from suite.process import Failed
from suite.trials import ServerTrial, UnaryTrial

SPARE_DESCRIPTORS = 200
OPENING_SECONDS = 60
SETTLING_SECONDS = 0.5


class IdleTrial(ServerTrial):
    """bench/load opens the connections, makes a call on each, and holds them."""

    def take(self):
        count = self.case.shape.connections
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if 0 <= most < count + SPARE_DESCRIPTORS:
            raise Failed(f"a process may have {most} descriptors here (ulimit -Hn)")
        before = self._rss()
        holder = self._hold(count)
        try:
            after = self._rss()
        finally:
            holder.stdin.close()
            process.stop(holder)
        return {"rss_bytes": after, "rss_bytes_per_connection": (after - before) / count}

    def _rss(self):
        time.sleep(SETTLING_SECONDS)
        return self.server.rss_bytes()

    def _hold(self, count):
        argv = [self.bench.programs.path("load"), "--kind", "idle", "--port",
                str(self.server.port), "--connections", str(count), "--path", self.case.path]
        holder = process.start(argv, self.cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
        line = self._line(holder)
        if line != f"holding {count}":
            process.stop(holder)
            error = holder.stderr.read().decode(errors="replace").strip().split("\n")[-1]
            raise Failed(f"not all connections could be opened: {error or line or 'too slow'}")
        return holder

    @staticmethod
    def _line(holder):
        ready, _, _ = select.select([holder.stdout], [], [], OPENING_SECONDS)
        return holder.stdout.readline().decode(errors="replace").strip() if ready else ""


class AllocationTrial(UnaryTrial):
    """The server counts its calls to malloc and its kin in a file."""

    def __init__(self, bench, case, participant):
        self.counter = tempfile.NamedTemporaryFile(prefix="bench-allocations-")
        self.counter.write(bytes(8))
        self.counter.flush()
        library = bench.programs.build_allocation_counter()
        super().__init__(bench, case, participant, env={
            "LD_PRELOAD": library, "BENCH_ALLOCATIONS": self.counter.name})

    def take(self):
        count = int(self.load.rate(self.bench.pace.warmup) * self.bench.pace.measured)
        before = self._count()
        run = self.load.requests(count, self.bench.pace.measured)
        self._check(run)
        return {"allocations_per_request": (self._count() - before) / run.requests}

    def close(self):
        super().close()
        self.counter.close()

    def _count(self):
        return int.from_bytes(os.pread(self.counter.fileno(), 8, 0), "little")
