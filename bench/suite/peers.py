"""Who is measured: our programs and the peers, how each is started, and how old its release is."""

import os
import pwd
import re
from dataclasses import dataclass, replace

from suite import process
from suite.process import Failed
from suite.server import Server

UNARY, CHAT, LIST, HEAVY = (f"/echo.Echo/{name}" for name in ("Unary", "Chat", "List", "Heavy"))


@dataclass(frozen=True)
class Setup:
    """What a server is asked to be."""

    codec: str = "bytes"
    handler: str | None = None  # only our own programs have a choice
    loops: int = 1
    tls: bool = False
    size: int = 32  # of the file, for servers of files
    transport: str | None = None  # of the C core: "tcp", "unix", "shm"
    options: tuple[str, ...] = ()

    def with_tls(self):
        return replace(self, tls=True)


@dataclass(frozen=True)
class Peer:
    name: str
    title: str
    packages: str = ""
    folder: str | None = None  # in bench/peers, when it is built by us
    product: str | None = None  # of bench/Package.swift
    whose: str | None = None  # version, where a product has several in it
    command: str | None = None  # that a package brings
    years: tuple[tuple[str, int], ...] = ()  # by how the version begins

    def year(self, version):
        """The year of the release. The first that fits counts."""
        number = re.search(r"\d+(\.\d+)+", version or "")
        return next((year for prefix, year in self.years
                     if number and (number[0] + ".").startswith(prefix + ".")), None)


GRPC_CPP_YEARS = (("1.51", 2022), ("1.54", 2023), ("1.59", 2023), ("1.62", 2024), ("1.71", 2025))
GRPC_GO_YEARS = (("1.33", 2020), ("1.38", 2021), ("1.64", 2024), ("1.68", 2024))
NGHTTP2_YEARS = (("1.43", 2021), ("1.52", 2023), ("1.59", 2024), ("1.64", 2024))

PEERS = {peer.name: peer for peer in (
    Peer("ours", "Micro", product="echo"),
    Peer("c-core", "Micro's C core", product="echo-c"),
    Peer("grpc-cpp", "gRPC C++", "libgrpc++-dev protobuf-compiler-grpc", folder="grpc-cpp",
         years=GRPC_CPP_YEARS),
    Peer("grpc-go", "gRPC Go", "golang-google-grpc-dev", folder="grpc-go", years=GRPC_GO_YEARS),
    Peer("grpc-swift-2", "gRPC Swift 2", folder="grpc-swift-2",
         years=(("2.0", 2025), ("2.1", 2025), ("2.2", 2025), ("2.3", 2026), ("2.4", 2026))),
    Peer("c-floor", "C on libuv + nghttp2", "libuv1-dev libnghttp2-dev", folder="c-floor",
         years=(("1.44", 2022), ("1.48", 2024), ("1.50", 2025))),
    Peer("nghttpd", "nghttpd", "nghttp2-server", command="nghttpd", years=NGHTTP2_YEARS),
    Peer("h2o", "h2o", "h2o", command="h2o", years=(("2.2.5", 2018), ("2.2.6", 2019))),
    Peer("epoll", "raw epoll", folder="epoll"),
    Peer("codecs", "Micro's codecs", product="codecs"),
    Peer("foundation", "Foundation", product="codecs", whose="foundation",
         years=(("6.3", 2026),)),
    Peer("swift-protobuf", "swift-protobuf", product="codecs", whose="swift-protobuf"),
    Peer("simdjson", "simdjson", "libsimdjson-dev", folder="simdjson",
         years=(("3.0", 2022), ("3.6", 2023), ("3.12", 2025))),
)}


class Unavailable(Failed):
    """A program that is not there to be measured."""


class Programs:
    """Where the programs are, and what is known of those that could not be built."""

    def __init__(self, build_folder, work_folder):
        self.build_folder = build_folder
        self.work_folder = work_folder
        self.problems = {}
        self._versions = {}

    def path(self, name):
        """The program of a participant, of `load`; raises Unavailable."""
        path = self.expected_path(name)
        if os.access(path, os.X_OK):
            return path
        raise Unavailable(self.problems.get(name) or f"{name} is not built")

    def has(self, name):
        try:
            return bool(self.path(name))
        except Unavailable:
            return False

    def expected_path(self, name):
        if name == "load":
            return os.path.join(self.build_folder, "load", "load")
        peer = PEERS[name]
        if peer.product:
            return os.path.join(self.build_folder, "release", peer.product)
        if peer.folder:
            return os.path.join(self.build_folder, "peers", peer.folder, peer.name)
        return self._command(peer)

    def _command(self, peer):
        folders = os.environ.get("PATH", "").split(":") + ["/usr/local/sbin", "/usr/sbin"]
        for folder in folders:
            path = os.path.join(folder, peer.command)
            if os.access(path, os.X_OK):
                return path
        raise Unavailable(f"{peer.command} is not installed (package {peer.packages})")

    def version(self, name):
        """One line, such as `grpc-go 1.33.3`."""
        if name not in self._versions:
            option = "--version" if PEERS[name].command else "version"
            try:
                whose = [PEERS[name].whose] if PEERS[name].whose else []
                _, out, err = process.run([self.path(name), option, *whose], 10)
                lines = (out or err).strip().splitlines()
                self._versions[name] = lines[0].strip() if lines else None
            except Failed:
                self._versions[name] = None
        return self._versions[name]

    def serve(self, name, setup, cpus, log, env=None):
        """Starts the server of a participant."""
        program = self.path(name)
        if name == "nghttpd":
            return _on_a_free_port(lambda port: self._nghttpd(program, setup, port), cpus, log)
        if name == "h2o":
            return _on_a_free_port(lambda port: self._h2o(program, port), cpus, log)
        argv = [program, "serve", "--codec", setup.codec, "--loops", str(setup.loops)]
        if setup.handler and name == "ours":
            argv += ["--handler", setup.handler]
        if setup.tls:
            argv += ["--tls", *self.certificate()]
        if setup.transport:
            argv += ["--transport", self.transport(setup.transport)]
        if setup.transport == "unix":
            argv += ["--address", os.path.join(self.work_folder, "echo.sock")]
        return Server(argv + list(setup.options), cpus, log, env=env)

    def transport(self, name):
        """What the C core calls a transport: shared memory is a plugin in Examples."""
        if name != "shm":
            return name
        source = os.path.join(os.path.dirname(__file__), "../../Examples/shm/shm.c")
        path = os.path.join(self.work_folder, "shm.so")
        self._build_shared(source, path, ["-I", os.path.join(os.path.dirname(source),
                                                             "../../include")])
        return path

    def build_allocation_counter(self):
        """The library that counts allocations when it is preloaded."""
        source = os.path.join(os.path.dirname(__file__), "allocations.c")
        path = os.path.join(self.build_folder, "allocations.so")
        self._build_shared(source, path, ["-D_GNU_SOURCE"])
        return path

    def _build_shared(self, source, path, options):
        if os.path.exists(path) and os.path.getmtime(path) >= os.path.getmtime(source):
            return
        code, _, err = process.run(["cc", "-std=c11", "-O2", "-shared", "-fPIC", *options, source,
                                    "-o", path], 60)
        if code:
            raise Failed(f"{os.path.basename(path)} cannot be built: {err.strip()[-200:]}")

    def certificate(self):
        """A certificate for 127.0.0.1 that signs itself, and its key."""
        folder = self.work_folder
        paths = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
        if not all(map(os.path.exists, paths)):
            code, _, err = process.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj", "/CN=localhost",
                 "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                 "-out", paths[0], "-keyout", paths[1]], 30)
            if code:
                raise Failed(f"openssl made no certificate: {err.strip()[-200:]}")
        return paths

    def _nghttpd(self, program, setup, port):
        argv = [program, "--no-tls", "-n", str(setup.loops), "-a", "127.0.0.1",
                "-d", self.work_folder, str(port)]
        if setup.tls:
            argv.remove("--no-tls")
            argv += reversed(self.certificate())
        return argv

    def _h2o(self, program, port):
        path = os.path.join(self.work_folder, f"h2o-{port}.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"user: {pwd.getpwuid(os.getuid()).pw_name}\nnum-threads: 1\n"
                       f"listen:\n  host: 127.0.0.1\n  port: {port}\nhosts:\n  default:\n"
                       f"    paths:\n      /:\n        file.dir: {self.work_folder}\n")
        return [program, "-c", path]


def _on_a_free_port(argv, cpus, log):
    """For servers that have to be told their port; somebody else may take it meanwhile."""
    for attempt in range(5):
        port = process.free_port()
        try:
            return Server(argv(port), cpus, log, port=port)
        except Failed:
            if attempt == 4:
                raise
