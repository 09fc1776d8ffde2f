"""A server that the suite starts, and the port it listens on."""

import os
import select
import socket
import subprocess
import time

from suite import process
from suite.process import Failed, Unsupported

READY_SECONDS = 20


class Server:
    """A server that runs, and the port it listens on; its address, where that has no port."""

    def __init__(self, argv, cpus, log, port=None, env=None):
        """With a port the program is asked for it in `argv` and is ready when it can be connected
        to; without one it prints `ready PORT`."""
        self.name = os.path.basename(argv[0])
        self.log = log
        self.output = b""
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "wb") as errors:
            self.child = process.start(argv, cpus, stdout=subprocess.PIPE, stderr=errors,
                               env={**os.environ, **(env or {})})
        os.set_blocking(self.child.stdout.fileno(), False)
        try:
            self.port = port or self._port_of_ready_line()
            if port:
                self._wait_until_connectable()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self.child.pid

    def cpu_seconds(self):
        self.require_running()
        return process.cpu_seconds(self.pid)

    def system_seconds(self):
        self.require_running()
        return process.system_seconds(self.pid)

    def rss_bytes(self):
        self.require_running()
        return process.rss_bytes(self.pid)

    def require_running(self):
        if self.child.poll() is not None:
            raise self._ended()

    def stop(self):
        """Ends it; returns what it has printed since it was ready."""
        process.stop(self.child)
        if not self.child.stdout.closed:
            self._read()
            self.child.stdout.close()
        return self.output.decode(errors="replace")

    def _port_of_ready_line(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            select.select([self.child.stdout], [], [], 0.1)
            self._read()
            for line in self.output.split(b"\n")[:-1]:
                if line.startswith(b"ready "):
                    where = line.split()[1].decode()
                    return int(where) if where.isdigit() else where
            self.require_running()
        raise Failed(f"{self.name} was not ready after {READY_SECONDS} s")

    def _wait_until_connectable(self):
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            self.require_running()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"{self.name} does not listen after {READY_SECONDS} s")

    def _read(self):
        try:
            while chunk := os.read(self.child.stdout.fileno(), 65536):
                self.output += chunk
        except BlockingIOError:
            pass

    def _ended(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        why = lines[-1] if lines else f"exit code {self.child.returncode}"
        if self.child.returncode == 2:
            return Unsupported(why)
        return Failed(f"{self.name} ended: {why}")
