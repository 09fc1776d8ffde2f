"""More than one core: what shares a connection, and how connections are dealt out."""

from suite import load
from suite.process import Failed
from suite.trials import ServerTrial, UnaryTrial

CHEAP_PER_SECOND = 500
CHEAP_STREAMS = 32


class BesideTrial(ServerTrial):
    """Cheap calls at a steady rate, and always one heavy call on the same connection."""

    def take(self):
        caller = self.caller("load", kind="mixed", streams=CHEAP_STREAMS, rate=CHEAP_PER_SECOND,
                             **{"heavy-path": self.case.path, "heavy-streams": 1})
        result = caller.run(self.bench.pace.measured, self.bench.pace.warmup)
        if not result["heavy"].get("requests"):
            raise Failed("no heavy call was answered")
        return load.percentiles_of_call(result)


class BalanceTrial(UnaryTrial):
    """How many requests each loop had: the server says it when it ends, so each sample has a
    server of its own."""

    def take(self):
        if self.server is None:
            self.server = self.bench.serve(self.case, self.participant.program,
                                           self.participant.setup)
            self.load = self._h2load()
        sample = super().take()
        said = self.server.stop()
        self.server = None
        counts = parse_loops(said)
        return {"busier_loop_ratio": max(counts) / max(min(counts), 1),
                "requests_per_second": sample["requests_per_second"]}

    def close(self):
        if self.server:
            super().close()


def parse_loops(text):
    """The requests of each loop, from the line `loops N1 N2 …`."""
    for line in text.splitlines():
        if line.startswith("loops "):
            counts = [int(word) for word in line.split()[1:]]
            if len(counts) > 1:
                return counts
    raise Failed("the server did not say how many requests each loop had")
