"""The machine that the figures come from: cores, processor, kernel, and what it lacks."""

import os
import platform
import shutil
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machine:
    cpus: tuple[int, ...]
    model: str
    system: str
    kernel: str
    governor: str | None
    lacks: tuple[str, ...] = field(default=())

    @property
    def cores(self):
        return len(self.cpus)

    @property
    def title(self):
        frequency = f", {self.governor} governor" if self.governor else ""
        plural = "" if self.cores == 1 else "s"
        return f"{self.model}, {self.cores} core{plural}, {self.system}, Linux {self.kernel}{frequency}"

    def server_cpus(self, count=1):
        """The cores of a server that is given `count` of them; None on one core: nothing is
        pinned, there is nowhere to pin it to."""
        return self.cpus[:count] if self.cores > 1 else None

    def load_cpus(self, server_count=1):
        """The core of the load: the first that the server has not, or the server's last one when
        it has them all."""
        if self.cores == 1:
            return None
        return self.cpus[min(server_count, self.cores - 1):][:1]

    def shares_a_core(self, server_count=1):
        return self.cores <= server_count


def read():
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    return Machine(cpus=cpus, model=_model(), system=_system(), kernel=platform.release(),
                   governor=_governor(cpus[0]), lacks=tuple(_lacks(len(cpus))))


def busy_share(seconds=0.5):
    """How much of the cores other processes use now, from 0 to 1."""
    before = parse_proc_stat(_lines("/proc/stat"))
    time.sleep(seconds)
    after = parse_proc_stat(_lines("/proc/stat"))
    total = after[1] - before[1]
    return (after[0] - before[0]) / total if total else 0.0


def parse_proc_stat(lines):
    """Busy ticks and all ticks of all cores."""
    fields = next((line.split()[1:9] for line in lines if line.startswith("cpu ")), [])
    ticks = [int(field) for field in fields]
    idle = sum(ticks[3:5])  # idle, iowait
    return sum(ticks) - idle, sum(ticks)


def _lacks(cores):
    if cores == 1:
        yield ("there is one core: server and load share it and nothing is pinned, so requests per"
               " second and latencies say little; CPU per request still does")
    for program, what in (("h2load", "no HTTP/2 server can be loaded (package nghttp2-client)"),
                          ("cc", "peers in C cannot be built (package gcc)"),
                          ("make", "no peer can be built (package make)")):
        if not shutil.which(program):
            yield f"{program} is missing: {what}"


def _model():
    for line in _lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def _system():
    for line in _lines("/etc/os-release"):
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip('"')
    return platform.system()


def _governor(cpu):
    lines = _lines(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")
    return lines[0].strip() if lines else None


def _lines(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.readlines()
    except OSError:
        return []
