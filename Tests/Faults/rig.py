"""The machine that the fault suite plays with: etcd, nodes, callers, and a network that can be
cut. Whatever is started here is stopped here, by its process id."""

import base64
import bisect
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request


class Failure(Exception):
    """The suite itself could not do what it had to."""


def now_ms():
    return time.monotonic() * 1000


def wait_until(what, condition, seconds=30):
    """What `condition` returns once that is something."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def run(*command):
    status = subprocess.run(command).returncode
    if status != 0:
        raise Failure(f"{' '.join(command)} ended with {status}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program whose output goes into files."""

    def __init__(self, rig, name, command, environment=None, reads_input=False):
        self.name = name
        self.out_path = os.path.join(rig.folder, f"{name}.out")
        self.err_path = os.path.join(rig.folder, f"{name}.err")
        with open(self.out_path, "w") as out, open(self.err_path, "w") as err:
            self.popen = subprocess.Popen(
                command, stdin=subprocess.PIPE if reads_input else subprocess.DEVNULL, stdout=out,
                stderr=err, cwd=rig.folder, env={**os.environ, **(environment or {})})
        rig.processes.append(self)

    def lines(self):
        with open(self.out_path) as out:
            return [line.split() for line in out if line.endswith("\n")]

    def words_of(self, first):
        for words in self.lines():
            if words and words[0] == first:
                return words
        if self.popen.poll() is not None:
            raise Failure(f"{self.name} ended: {self.last_words()}")
        return None

    def last_words(self):
        with open(self.err_path) as err:
            return err.read()[-2000:]

    def go_on(self):
        """An empty line on standard input."""
        self.popen.stdin.write(b"\n")
        self.popen.stdin.close()

    def send(self, number):
        if self.popen.poll() is None:
            self.popen.send_signal(number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.popen.wait()

    def wait(self, seconds):
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds} s: {self.last_words()}")


class Node(Process):
    """A node of the service "work"."""

    def wait_ready(self):
        words = wait_until(f"{self.name} is ready", lambda: self.words_of("ready"))
        self.id, self.address = words[1], words[2]
        return self

    def counts(self):
        """(milliseconds, calls, connections) each 100 ms."""
        return [(int(w[1]), int(w[2]), int(w[3])) for w in self.lines() if w and w[0] == "count"]

    def calls_between(self, begin, end):
        counts = self.counts()
        times = [count[0] for count in counts]

        def calls_at(moment):
            at = bisect.bisect_right(times, moment) - 1
            return counts[at][1] if at >= 0 else 0

        return calls_at(end) - calls_at(begin)

    def terminate(self):
        self.send(signal.SIGTERM)
        code = self.wait(30)
        if code != 0:
            raise Failure(f"{self.name} ended with {code}: {self.last_words()}")


class Call:
    """One line of a caller's journal; times in milliseconds."""

    __slots__ = ("start", "took", "code", "attempts", "node", "detail")

    def __init__(self, line):
        words = line.rstrip("\n").split("\t")
        self.start = float(words[0])
        self.took = int(words[1]) / 1000
        self.code = words[2]
        self.attempts = int(words[3])
        self.node = words[4]
        self.detail = words[5] if len(words) > 5 else ""

    @property
    def is_ok(self):
        return self.code == "ok"


class Caller(Process):
    """Calls at a rate; its journal is there when it has ended."""

    def wait_calling(self):
        wait_until(f"{self.name} calls", lambda: self.words_of("calling"))
        return self

    def journal(self):
        code = self.wait(240)
        if code != 0:
            raise Failure(f"{self.name} ended with {code}: {self.last_words()}")
        with open(self.journal_path) as journal:
            calls = [Call(line) for line in journal]
        if not any(call.is_ok for call in calls):
            raise Failure(f"{self.name}: none of {len(calls)} calls succeeded")
        return calls


class Rig:
    """A folder, an etcd, and what was started; all of it is gone at the end."""

    def __init__(self, program, network=None):
        self.program = program
        self.network = network
        self.processes = []
        self.started = 0
        self.etcd = None
        self.etcd_ports = (free_port(), free_port())

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="micro-faults-")
        return self

    def __exit__(self, kind, error, trace):
        for process in self.processes:
            process.kill()
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            print(f"what was left behind: {self.folder}")

    # ---- etcd ----

    @property
    def host(self):
        return self.network.host if self.network else "127.0.0.1"

    @property
    def register(self):
        return f"etcd://{self.host}:{self.etcd_ports[0]}"

    def start_etcd(self):
        """An empty one, always at the same address."""
        client, peer = self.etcd_ports
        self.started += 1
        name = f"etcd-{self.started}"
        urls = f"http://127.0.0.1:{client}"
        if self.network:
            urls += f",http://{self.network.host}:{client}"
        peer_url = f"http://127.0.0.1:{peer}"
        self.etcd = Process(self, name, [
            "etcd", "--name", "e", "--data-dir", os.path.join(self.folder, name),
            "--listen-client-urls", urls, "--advertise-client-urls", urls,
            "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
            "--initial-cluster", f"e={peer_url}", "--unsafe-no-fsync", "--logger", "zap",
            "--log-level", "error"])
        wait_until("etcd answers", lambda: self.count_keys() is not None, 60)

    def count_keys(self):
        """How many nodes etcd knows; None when it does not answer."""
        everything = base64.b64encode(b"\0").decode()
        body = json.dumps({"key": everything, "range_end": everything, "count_only": True})
        url = f"http://127.0.0.1:{self.etcd_ports[0]}/v3/kv/range"
        with contextlib.suppress(OSError, ValueError):
            with urllib.request.urlopen(url, body.encode(), timeout=2) as answer:
                return int(json.load(answer).get("count", 0))
        return None

    # ---- Nodes and callers ----

    def start_node(self, *options, inside=False, pinned=None):
        self.started += 1
        command = [self.program, "node", *options]
        if pinned is not None:
            command = ["taskset", "-c", str(pinned), *command]
        if inside:
            command = [*self.network.inside, *command, "--address", f"{self.network.guest}:0"]
        environment = {"MICRO_REGISTER": self.register}
        return Node(self, f"node-{self.started}", command, environment)

    def start_nodes(self, count, *options):
        nodes = [self.start_node(*options) for _ in range(count)]
        return [node.wait_ready() for node in nodes]

    def start_caller(self, *options, pinned=None):
        self.started += 1
        name = f"caller-{self.started}"
        path = os.path.join(self.folder, f"{name}.journal")
        command = [self.program, "call", "--journal", path, *options]
        if pinned is not None:
            command = ["taskset", "-c", str(pinned), *command]
        caller = Caller(self, name, command, {"MICRO_REGISTER": self.register})
        caller.journal_path = path
        return caller.wait_calling()

    def start_crowd(self, clients, address):
        self.started += 1
        command = [self.program, "crowd", "--clients", str(clients), "--address", address]
        return Caller(self, f"crowd-{self.started}", command).wait_calling()

    # ---- Stores ----

    def path(self, name):
        return os.path.join(self.folder, name)

    def start_store(self, command, path, *options, reads_input=False):
        self.started += 1
        return Process(self, f"store-{self.started}",
                       [self.program, f"store-{command}", "--store", f"sqlite:{path}", *options],
                       reads_input=reads_input)

    def check_store(self, path, run):
        """The lines of words that the check prints."""
        check = self.start_store("check", path, "--run", str(run))
        code = check.wait(60)
        if code != 0:
            raise Failure(f"{check.name} ended with {code}: {check.last_words()}")
        return check.lines()

    def is_sound(self, path):
        """What SQLite itself says of the file."""
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute("PRAGMA integrity_check").fetchone()[0]

    @contextlib.contextmanager
    def small_disk(self, megabytes):
        """A folder with so much room; None where nothing can be mounted."""
        folder = self.path("disk")
        os.mkdir(folder)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
            stderr=subprocess.DEVNULL)
        if mounted.returncode != 0:
            yield None
            return
        try:
            yield folder
        finally:
            run("umount", folder)

    def set_failing(self, node, fails):
        flag = "--fails" if fails else "--no-fails"
        run(self.program, "set", "--address", node.address, flag)


class Network:
    """A second host, in a network namespace, that can be made a black hole: packets to and from it
    vanish, and nobody says so. It needs root, or `unshare -rnm`."""

    host, guest = "10.213.77.1", "10.213.77.2"

    def __init__(self):
        self.name = f"micro-faults-{os.getpid()}"
        self.outer, self.inner = f"mf{os.getpid() % 100000}a", f"mf{os.getpid() % 100000}b"
        self.inside = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        try:
            self.connect()
        except Failure:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The interface goes with the namespace, and its other end with it.
        run("ip", "netns", "del", self.name)

    def connect(self):
        run("ip", "link", "add", self.outer, "type", "veth", "peer", "name", self.inner)
        run("ip", "link", "set", self.inner, "netns", self.name)
        run("ip", "addr", "add", f"{self.host}/30", "dev", self.outer)
        run("ip", "link", "set", self.outer, "up")
        for command in (["addr", "add", f"{self.guest}/30", "dev", self.inner],
                        ["link", "set", self.inner, "up"], ["link", "set", "lo", "up"]):
            run("ip", "-n", self.name, *command)

    def cut(self):
        """Each side sends to a hardware address that nobody has."""
        nobody = ["lladdr", "02:00:00:00:00:99", "nud", "permanent"]
        run("ip", "neigh", "replace", self.guest, *nobody, "dev", self.outer)
        run("ip", "-n", self.name, "neigh", "replace", self.host, *nobody, "dev", self.inner)

    def mend(self):
        run("ip", "neigh", "del", self.guest, "dev", self.outer)
        run("ip", "-n", self.name, "neigh", "del", self.host, "dev", self.inner)
