"""Builds what a run needs: our programs, the load generator, the peers."""

import os
import time

from suite import process
from suite.peers import PEERS
from suite.process import Failed

BUILD_SECONDS = 3600
DEPENDENCIES_SECONDS = 900


def install_packages(root, say):
    """The packages of the peers. Without them the suite goes on with what is there."""
    script = os.path.join(root, "Scripts", "deps.sh")
    log = os.path.join(root, ".build", "bench", "logs", "packages.log")
    try:
        _build([script, "bench"], root, log, DEPENDENCIES_SECONDS)
    except Failed as problem:
        say(f"packages could not be installed, so some peers may be missing: {problem}")


def build(root, names, programs, say):
    """Builds each of the named programs; what can't be built is kept in `programs.problems`."""
    problems = {}  # of what was built: several may be in one program
    for name in names:
        argv = _argv(root, name, programs)
        if not argv:
            continue
        key = tuple(argv)
        if key not in problems:
            log = os.path.join(programs.build_folder, "logs", f"build-{name}.log")
            problems[key] = _problem(name, argv, root, log, say)
        if problems[key]:
            programs.problems[name] = problems[key]


def _problem(name, argv, root, log, say):
    """Builds one program; returns why that can't be done."""
    say(f"building {name}", end=" ")
    begin = time.monotonic()
    try:
        _build(argv, root, log)
    except Failed as problem:
        say(f"FAILED: {problem}")
        return f"{name} could not be built: {problem}"
    say(f"({time.monotonic() - begin:.0f} s)")
    return None


def _argv(root, name, programs):
    product = "load" if name == "load" else PEERS[name].product
    if PEERS.get(name) and product:
        return ["swift", "build", "--package-path", os.path.join(root, "bench"), "--scratch-path",
                programs.build_folder, "-c", "release", "-j", "2", "--static-swift-stdlib",
                "--product", product]
    folder = "load" if name == "load" else PEERS[name].folder and f"peers/{PEERS[name].folder}"
    if not folder:
        return None
    source = os.path.join(root, "bench", folder)
    out = os.path.join(programs.build_folder, folder)
    script = os.path.join(source, "build.sh")
    if os.path.exists(script):
        return ["env", f"OUT={out}", "bash", script]
    return ["make", "-C", source, f"OUT={out}"]


def _build(argv, root, log, seconds=BUILD_SECONDS):
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "wb") as file:
        child = process.start(argv, pinned=False, cwd=root, stdout=file, stderr=file)
        try:
            child.wait(seconds)
        except Exception:
            raise Failed(f"not done after {seconds} s, see {log}") from None
        finally:
            process.stop(child)
    if child.returncode:
        raise Failed(f"{_cause(log)} (see {log})")


def _cause(log):
    """The first line that names an error, else the last one."""
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    errors = [line for line in lines if "error:" in line or "No such file" in line]
    return (errors or lines[-1:] or ["it printed nothing"])[0][:160]
