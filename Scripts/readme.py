#!/usr/bin/env python3
"""Runs README.md: every command in it is executed, every program in it is compiled.

    Scripts/readme.py README.md                 checks it, and removes what it made
    Scripts/readme.py README.md --keep FOLDER   leaves the reader's folder there; a second run is
                                                faster, because what was built is found again

It plays the reader. The reader has a folder with a checkout in it, `micro`, and one shell, which
starts in the checkout: `cd` and `export` last from block to block. `cd ..` is the reader's folder.
(`micro` is a link: `cd ../hello` works in it, `cat ../hello/…` doesn't.)

Blocks are run in their order. The language after the fence says what a block is:

    ```console   lines that begin with "$ " are commands, the lines below are what they print.
                 A command ends with "\\" to go on in the next line. "…" in a line stands for
                 anything; a line that is only "…" stands for any number of lines, also none.
                 A command without such lines may print what it likes.
    ```sh        a script (also ```bash): it has to succeed
    others       are not run

Words after the language change that (they don't show on the page):

    background   (console) the last command goes on while the blocks below are run. It is ready when
                 it has printed the lines shown, and they are required. It is stopped at the end,
                 with SIGTERM, and has to end then.
    fails        the last command has to fail
    timeout=60   seconds for each command, 900 if it isn't said
    file=F       (any language) the block is the file F of the reader's folder. All files are
                 written before the first command. Swift files want to be in a package, as
                 "hello/Sources/hello/hello.swift"; if there is no "hello/Package.swift", one is
                 made that depends on Micro. A package that no command ran in is built at the end.
    from=F       (any language) the block stands word for word in the file F of the repository

There is no word for leaving a block out. Only a line that installs packages with apt-get is
different: when they all are installed it is not run, and when they are not and we aren't root it
fails.
"""

import argparse
import collections
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

RUN_LANGUAGES = {"console", "sh", "bash"}
FLAGS = {"background", "fails"}
VALUES = {"timeout", "file", "from"}
TIMEOUT_SECONDS = 900
STOP_SECONDS = 30

# ---- Reading -------------------------------------------------------------------------------------

Block = collections.namedtuple("Block", "line language words lines")
Command = collections.namedtuple("Command", "text expected")


class Problem(Exception):
    """What is wrong with a block, in words for the one who wrote it."""


def blocks_of(text):
    """The fenced blocks of a Markdown text."""
    blocks, fence = [], None
    for number, line in enumerate(text.splitlines(), 1):
        if fence is None:
            match = re.match(r"( {0,3})(`{3,}|~{3,})\s*(.*)$", line)
            if match:
                indent, fence, info = match.groups()
                words = info.split()
                block = Block(number, words[0] if words else "", words[1:], [])
        elif re.fullmatch(r" {0,3}" + re.escape(fence[0]) + "{%d,}" % len(fence) + r"\s*", line):
            blocks.append(block)
            fence = None
        else:
            block.lines.append(line[len(indent):] if line.startswith(indent) else line)
    if fence is not None:
        raise Problem(f"line {block.line}: the block is not closed")
    return blocks


def words_of(block):
    """The words after the language, as a dictionary."""
    words = {}
    for word in block.words:
        name, equals, value = word.partition("=")
        if not (name in VALUES and value if equals else name in FLAGS):
            raise Problem(f"'{word}' is not a word for a block")
        words[name] = value if equals else True
    if "background" in words and block.language != "console":
        raise Problem("only a console block can be in the background")
    return words


def commands_of(lines):
    """The commands of a console block and the lines that are expected of each."""
    commands, open_command = [], False
    for line in lines:
        if open_command:
            text = commands[-1].text + "\n" + re.sub(r"^> ", "", line)
            commands[-1] = Command(text, [])
            open_command = line.endswith("\\")
        elif line.startswith("$ "):
            commands.append(Command(line[2:], []))
            open_command = line.endswith("\\")
        elif not commands:
            if line.strip():
                raise Problem("a console block begins with a command, '$ …'")
        else:
            commands[-1].expected.append(line.rstrip())
    for command in commands:
        while command.expected and not command.expected[-1]:
            command.expected.pop()
    if not commands:
        raise Problem("there is no command, '$ …', in the block")
    return commands


def apt_packages(text):
    """The packages that a command line installs with apt-get; None when it is anything else."""
    words = shlex.split(text.replace("\\\n", " "), comments=True)
    if words[:1] == ["sudo"]:
        words = words[1:]
    if len(words) < 2 or words[0] not in ("apt", "apt-get") or "install" not in words[1:]:
        return None
    if {"&&", ";", "|", "||"} & set(words):
        return None
    return [word for word in words[words.index("install") + 1:] if not word.startswith("-")]


# ---- Comparing -----------------------------------------------------------------------------------


def clean(output):
    """The lines of an output as one reads them: without colours, and with what overwrote what."""
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07", "", output)
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1].rstrip() for line in output.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def line_matches(expected, line):
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, line) is not None


def matches(expected, lines, more=False):
    """Whether `lines` are what was expected; with `more`, whether they begin so."""
    # reached[n]: the lines so far match the first n expected ones.
    def skip(reached):
        for n, line in enumerate(expected):
            if line.strip() == "…" and reached[n]:
                reached[n + 1] = True
        return reached

    reached = skip([True] + [False] * len(expected))
    for line in lines:
        if more and reached[-1]:
            return True
        step = [False] * len(reached)
        for n, wanted in enumerate(expected):
            if wanted.strip() == "…":
                step[n] |= reached[n]
            elif reached[n] and line_matches(wanted, line):
                step[n + 1] = True
        reached = skip(step)
    return reached[-1]


def difference(expected, lines):
    shown = lines if len(lines) <= 60 else lines[:20] + ["[…]"] + lines[-40:]
    return "\n".join(["  expected:"] + ["    | " + line for line in expected]
                     + ["  printed:"] + ["    | " + line for line in shown])


# ---- Running -------------------------------------------------------------------------------------


class Process:
    """A command that runs in a process group of its own, so that all of it can be stopped."""

    def __init__(self, arguments, folder, environment):
        self.process = subprocess.Popen(
            arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.chunks = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with self.process.stdout as stdout:
            while chunk := os.read(stdout.fileno(), 65536):
                self.chunks.append(chunk)

    def lines(self):
        return clean(b"".join(list(self.chunks)).decode("utf-8", "replace"))

    def wait(self, seconds):
        """The exit status; None when it is still running after that time."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self.reader.join(1)  # what it left running may hold the pipe
        return status

    def is_left_running(self):
        """Whether there still is a process of the group of one that has ended."""
        for _ in range(20):
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.1)
        return True

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)  # the group has the pid of the process we started
        except ProcessLookupError:
            pass

    def stop(self):
        """Whether it ended by itself after SIGTERM."""
        self.signal(signal.SIGTERM)
        ended = self.wait(STOP_SECONDS) is not None
        self.signal(signal.SIGKILL)
        self.wait(STOP_SECONDS)
        return ended


class Reader:
    """The reader's folder and shell."""

    def __init__(self, root, home):
        self.root, self.home = os.path.realpath(root), os.path.realpath(home)
        self.micro = os.path.join(self.home, "micro")
        if not os.path.islink(self.micro):
            os.symlink(self.root, self.micro)
        self.folder = self.micro
        self.environment = dict(os.environ, PWD=self.micro)
        # Our services are not those that the user of this machine may be running.
        for name, folder in [("XDG_RUNTIME_DIR", ".run"), ("XDG_STATE_HOME", ".state"),
                             ("TMPDIR", ".tmp")]:
            self.environment[name] = os.path.join(self.home, folder)
            os.makedirs(self.environment[name], mode=0o700, exist_ok=True)
        for name in [name for name in self.environment if name.startswith(("MICRO_", "MAKE"))]:
            del self.environment[name]
        self.visited = set()
        self.background = []

    def start(self, script, last=False):
        """Starts a script in the shell. Its folder and variables are kept, unless it is the last
        that one will hear of."""
        self.visited.add(os.path.relpath(self.folder, self.home).split(os.sep)[0])
        if last:
            arguments = ["bash", "-c", script]
        else:
            keep = 'eval "$1"; status=$?; { pwd -L; env -0; } >"$2"; exit $status'
            arguments = ["bash", "-c", keep, "bash", script, self.state]
        return Process(arguments, self.folder, self.environment)

    @property
    def state(self):
        return os.path.join(self.home, ".shell")

    def run(self, script, timeout):
        """The status and the lines of a script that has ended."""
        if os.path.exists(self.state):
            os.remove(self.state)
        process = self.start(script)
        try:
            status = process.wait(timeout)
        except BaseException:  # we are being stopped
            process.stop()
            raise
        if status is None:
            process.stop()
            raise Problem(f"did not end within {timeout} s\n" + difference([], process.lines()))
        if process.is_left_running():
            process.stop()
            raise Problem("it left something running; that is what 'background' is for")
        if os.path.exists(self.state):
            self._restore()
        return status, process.lines()

    def _restore(self):
        with open(self.state, "rb") as file:
            folder, _, variables = file.read().partition(b"\n")
        self.folder = os.fsdecode(folder)
        self.environment = dict(os.fsdecode(entry).split("=", 1)
                                for entry in variables.split(b"\0") if b"=" in entry)


class Readme:
    def __init__(self, path, reader):
        self.path, self.reader = path, reader
        with open(path, encoding="utf-8") as file:
            self.blocks = blocks_of(file.read())
        self.passed = self.failed = 0
        self.packages = {}

    def report(self, title, action):
        begin = time.monotonic()
        try:
            action()
        except (Problem, OSError, ValueError) as problem:
            self.failed += 1
            print(f"FAIL {title} ({time.monotonic() - begin:.1f} s): {problem}", flush=True)
        else:
            self.passed += 1
            print(f"PASS {title} ({time.monotonic() - begin:.1f} s)", flush=True)

    def check(self):
        name = os.path.basename(self.path)
        not_run = collections.Counter()
        try:
            for block in self.blocks:
                if any(word.startswith(("file=", "from=")) for word in block.words):
                    self.report(f"{name}:{block.line} {' '.join([block.language, *block.words])}",
                                lambda block=block: self.place(block))
            self.complete_packages()
            for block in self.blocks:
                if block.language in RUN_LANGUAGES and not self.is_placed(block):
                    first = next((line for line in block.lines if line.strip()), "")
                    self.report(f"{name}:{block.line} {block.language} {first[:60]}",
                                lambda block=block: self.run(block))
                elif not self.is_placed(block):
                    not_run[block.language or "plain"] += 1
            for package in sorted(self.packages):
                if package not in self.reader.visited:
                    self.report(f"{name} swift build in {package}",
                                lambda package=package: self.build(package))
        finally:
            for process, title in self.reader.background:
                self.report(f"{title} stops", lambda process=process: self.stop(process))
            self.reader.background = []
        for language, count in sorted(not_run.items()):
            print(f"     {count} {language} block{'s' * (count > 1)} not run")
        print(f"readme: {self.passed} passed, {self.failed} failed")
        return self.failed == 0

    @staticmethod
    def is_placed(block):
        return any(word.startswith(("file=", "from=")) for word in block.words)

    # -- files

    def place(self, block):
        words = words_of(block)
        text = "\n".join(block.lines) + "\n"
        if "from" in words:
            source = inside(self.reader.root, words["from"])
            with open(source, encoding="utf-8") as file:
                if text not in file.read():
                    raise Problem(f"the block does not stand in {words['from']}")
        if "file" in words:
            path = inside(self.reader.home, words["file"])
            package = words["file"].split("/")[0]
            if package == "micro" or "/" not in words["file"]:
                raise Problem("a file belongs to a folder beside micro: file=hello/…")
            if package not in self.packages:
                shutil.rmtree(os.path.join(self.reader.home, package, "Sources"), True)
                self.packages[package] = set()
            if words["file"] in self.packages[package]:
                raise Problem(f"{words['file']} is there twice")
            self.packages[package].add(words["file"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def complete_packages(self):
        for package, files in list(self.packages.items()):
            if not any(path.endswith(".swift") for path in files):
                del self.packages[package]
            elif f"{package}/Package.swift" not in files:
                with open(os.path.join(self.reader.home, package, "Package.swift"), "w",
                          encoding="utf-8") as file:
                    file.write(manifest(package, files))

    def build(self, package):
        status, lines = self.reader.run(
            f"cd {shlex.quote(os.path.join(self.reader.home, package))} && swift build",
            TIMEOUT_SECONDS)
        if status:
            raise Problem("it does not compile\n" + difference([], lines))

    # -- commands

    def run(self, block):
        for process, title in self.reader.background:
            if process.process.poll() is not None:
                self.reader.background.remove((process, title))
                raise Problem(f"{title} has ended meanwhile\n" + difference([], process.lines()))
        words = words_of(block)
        timeout = float(words.get("timeout", TIMEOUT_SECONDS))
        if block.language != "console":
            script = "\n".join(block.lines)
            if apt_packages(script) is None:
                script = "set -euo pipefail\n" + script
            self.run_command(Command(script, []), timeout, words.get("fails", False))
            return
        commands = commands_of(block.lines)
        for n, command in enumerate(commands):
            last = n == len(commands) - 1
            if last and words.get("background"):
                self.start_background(block, command, timeout)
            else:
                self.run_command(command, timeout, last and words.get("fails", False))

    def run_command(self, command, timeout, fails):
        packages = apt_packages(command.text) if "apt" in command.text else None
        if packages is not None and not self.wants_apt(packages):
            return
        status, lines = self.reader.run(command.text, timeout)
        if (status != 0) != fails:
            raise Problem(f"'{command.text}' ended with status {status}\n"
                          + difference(command.expected, lines))
        if command.expected and not matches(command.expected, lines):
            raise Problem(f"'{command.text}' printed something else\n"
                          + difference(command.expected, lines))

    def wants_apt(self, packages):
        missing = [package for package in packages if not is_installed(package)]
        if missing and os.geteuid() != 0:
            raise Problem("not installed: " + " ".join(missing))
        return bool(missing)

    def start_background(self, block, command, timeout):
        if not command.expected:
            raise Problem("a block in the background shows the lines that say it is ready")
        process = self.reader.start(command.text, last=True)
        title = f"{os.path.basename(self.path)}:{block.line} {command.text[:60]}"
        deadline = time.monotonic() + timeout
        while not matches(command.expected, process.lines(), more=True):
            problem = None
            if process.process.poll() is not None:
                process.wait(1)
                if matches(command.expected, process.lines(), more=True):
                    break
                problem = "ended"
            elif time.monotonic() > deadline:
                process.stop()
                problem = f"was not ready within {timeout:g} s"
            if problem:
                raise Problem(f"'{command.text}' {problem}\n"
                              + difference(command.expected, process.lines()))
            time.sleep(0.05)
        self.reader.background.append((process, title))

    def stop(self, process):
        if not process.stop():
            raise Problem(f"it did not end within {STOP_SECONDS} s of SIGTERM\n"
                          + difference([], process.lines()))


def inside(folder, path):
    full = os.path.normpath(os.path.join(folder, path))
    if os.path.isabs(path) or not full.startswith(folder + os.sep):
        raise Problem(f"{path} is not inside the folder")
    return full


def is_installed(package):
    result = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Status}", package],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return result.stdout == "installed"


def manifest(package, files):
    """A manifest for files that came without one: a program for each folder of Sources."""
    targets = sorted({path.split("/")[2] for path in files
                      if re.fullmatch(r"[^/]+/Sources/[^/]+/.+", path)})
    if not targets:
        raise Problem(f"{package}: neither a Package.swift nor a Sources/<name>/…")
    lines = [f'        .executableTarget(name: "{target}",'
             ' dependencies: [.product(name: "Micro", package: "micro")]),' for target in targets]
    return "\n".join(["// swift-tools-version:6.2", "import PackageDescription", "",
                      "let package = Package(", f'    name: "{package}",',
                      "    platforms: [.macOS(.v15)],",
                      '    dependencies: [.package(name: "micro", path: "../micro")],',
                      "    targets: ["] + lines + ["    ])", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("readme")
    parser.add_argument("--keep", metavar="FOLDER", help="the reader's folder, which stays")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."),
                        help="the repository, if it is not the one of this script")
    arguments = parser.parse_args()
    home = arguments.keep or tempfile.mkdtemp(prefix="micro-readme-")
    os.makedirs(home, exist_ok=True)
    try:
        readme = Readme(arguments.readme, Reader(arguments.root, home))
        return 0 if readme.check() else 1
    except Problem as problem:
        print(f"FAIL {arguments.readme}: {problem}")
        return 1
    finally:
        if not arguments.keep:
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stop what runs in the background
    sys.exit(main())
