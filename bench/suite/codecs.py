"""Codecs, each in a program that works on one document as long as it is told to."""

import json
import os
import tempfile

from suite import process
from suite.process import Failed, Unsupported

# Of CPU time: nothing here waits for a network, so less tells as much, and more turns tell more.
WARMUP_SECONDS, MEASURED_SECONDS = 0.06, 0.22
START_SECONDS = 0.12  # the documents are made, and it is checked that the codec is right
SLOWEST_SECONDS = 60
COUNTED_OPERATIONS = 20  # of allocations, which are the same each time


class CodecTrial:
    """A process for each sample, so that no layout of memory is measured three times."""

    def __init__(self, bench, case, participant):
        self.bench = bench
        self.cpus = bench.machine.server_cpus()
        is_ours = participant.program != "simdjson"
        options = participant.setup.options if is_ours else ("--document", self._written(case))
        self.argv = [bench.programs.path(participant.program), "measure", *options]
        self.counts_allocations = is_ours
        self.allocations = None

    def sample(self):
        result = self._run("--seconds", MEASURED_SECONDS, "--warmup", WARMUP_SECONDS)
        sample = self.figures(result["cpu_us"] / result["operations"], result["bytes"])
        if self.counts_allocations:
            self.allocations = self.allocations or self._count_allocations()
            sample["allocations_per_operation"] = self.allocations
        return sample

    def figures(self, cpu_us, _size):
        return {"cpu_us_per_operation": cpu_us}

    def close(self):
        """Nothing goes on between the samples."""

    def _run(self, *more, env=None):
        argv = [*self.argv, *map(str, more)]
        code, out, err = process.run(argv, SLOWEST_SECONDS, self.cpus,
                                     env={**os.environ, **(env or {})})
        if code:
            said = err.strip().split("\n")[-1]
            raise (Unsupported if code == 2 else Failed)(said or f"exit code {code}")
        return json.loads(out)

    def _count_allocations(self):
        with tempfile.NamedTemporaryFile(prefix="bench-allocations-") as counter:
            counter.write(bytes(8))
            counter.flush()
            result = self._run("--count", COUNTED_OPERATIONS, env={
                "LD_PRELOAD": self.bench.programs.build_allocation_counter(),
                "BENCH_ALLOCATIONS": counter.name})
        return result["allocations"] / result["operations"]

    def _written(self, case):
        """The document as a file, from the program that makes the documents."""
        path = self.bench.file(f"{case.document}.json")
        writer = self.bench.programs.path("codecs")
        code, _, err = process.run([writer, "write", "--document", case.document, path],
                                   SLOWEST_SECONDS)
        if code:
            raise Failed(f"no document: {err.strip()}")
        return path


class ScannerTrial(CodecTrial):
    """No values are made, so speed is what people compare."""

    def figures(self, cpu_us, size):
        return {**super().figures(cpu_us, size), "megabytes_per_second": size / cpu_us}
