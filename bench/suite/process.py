"""Processes that the suite starts: pinned, watched, and ended by their own ids."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time

STOP_SECONDS = 5
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)

_children = set()
_realtime = False


class Failed(Exception):
    """A program did not do what it was started for; the text says why."""


class Starved(Failed):
    """Nothing at all happened in the time: a neighbour has had the cores. It is worth another
    attempt."""


class Unsupported(Failed):
    """A program said (by exit code 2) that it has no such option."""


def use_realtime():
    """Lets all that is started from now on run before the neighbours (as `chrt -f 10` does).
    Returns whether the system permits it."""
    global _realtime
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        os.sched_setscheduler(0, *before)
        _realtime = True
    except OSError:
        _realtime = False
    return _realtime


def start(argv, cpus=None, pinned=True, **options):
    """A child that is ended with the suite, however that ends."""
    parent = os.getpid()

    def prepare():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if cpus:
            os.sched_setaffinity(0, cpus)
        if _realtime and pinned:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))

    try:
        options = {"stdin": subprocess.DEVNULL, **options}
        child = subprocess.Popen(argv, preexec_fn=prepare, **options)
    except OSError as error:
        raise Failed(f"{argv[0]}: {error.strerror}") from None
    _children.add(child)
    return child


def run(argv, seconds, cpus=None, **options):
    """Runs a program to its end; returns its exit code, standard output and standard error."""
    child = start(argv, cpus, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                  errors="replace", **options)
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(argv[0])} was not done after {seconds:.0f} s") from None
    finally:
        stop(child)
    return child.returncode, out, err


def stop(child):
    """Ends a child and waits for it."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    _children.discard(child)


def stop_all():
    for child in list(_children):
        stop(child)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of all threads of a process, those that have ended included."""
    try:
        # The clock id of another process, as clock_getcpuclockid(3) makes it: in nanoseconds what
        # /proc/PID/stat has in ticks of 10 ms.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return parse_stat(file.read()) / os.sysconf("SC_CLK_TCK")


def system_seconds(pid):
    """The system time of all threads of a process, in ticks of 10 ms."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[12]) / os.sysconf("SC_CLK_TCK")


def parse_stat(text):
    """The ticks of user and system time in the text of /proc/PID/stat."""
    fields = text[text.rindex(")") + 1:].split()
    return int(fields[11]) + int(fields[12])


def rss_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return parse_status(file.read())


def parse_status(text):
    for line in text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failed("there is no VmRSS in /proc/PID/status")
