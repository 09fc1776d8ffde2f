#!/usr/bin/env python3
"""Runs the fuzz targets (Tests/Fuzz), several at once, and says what they have found.

    Scripts/fuzz.py --programs FOLDER [--seconds 60] [--jobs 2] [TARGET...]
    Scripts/fuzz.py --programs FOLDER --merge [TARGET...]

The seconds are shared out among the targets. Inputs that reach something new go to
.build/fuzz/corpus/<target> and are there for the next run; inputs that a target dies of go to
.build/fuzz/found/<target>. --merge takes those of the former that reach what no kept input does
into Tests/Fuzz/corpus/<target>, which is part of the repository."""

import argparse
import concurrent.futures
import glob
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time

SOURCES = "Tests/Fuzz"
KEPT = SOURCES + "/corpus"
DICTIONARIES = SOURCES + "/dictionaries"
WORK = ".build/fuzz"

TIMEOUT_S = 10  # of one input
MEMORY_MB = 2048
KEPT_BYTES_MAX = 1024  # of one input
# What all targets keep together: a repository is no place for a heap of bytes.
KEPT_TOTAL_MAX = 200 * 1000


def program_of(arguments, target):
    return os.path.join(arguments.programs, target + "_fuzz")


def targets_of(folder):
    """Those that were built, and whose source is still there."""
    names = [os.path.basename(path)[:-len("_fuzz.c")]
             for path in glob.glob(os.path.join(SOURCES, "*_fuzz.c"))]
    return sorted(name for name in names
                  if os.path.exists(os.path.join(folder, name + "_fuzz")))


def folder(*parts):
    path = os.path.join(*parts)
    os.makedirs(path, exist_ok=True)
    return path


def environment():
    return dict(os.environ,
                ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1",
                UBSAN_OPTIONS="print_stacktrace=1")


class Run:
    """One target for some seconds."""

    def __init__(self, arguments, target, seconds):
        self.target = target
        self.program = program_of(arguments, target)
        self.seconds = seconds
        self.corpus = folder(WORK, "corpus", target)
        self.found = folder(WORK, "found", target)
        self.log = os.path.join(folder(WORK, "logs"), target + ".log")

    def go(self):
        dictionary = os.path.join(DICTIONARIES, self.target + ".dict")
        command = [self.program, f"-max_total_time={self.seconds}", f"-timeout={TIMEOUT_S}",
                   f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1", "-use_value_profile=1",
                   f"-artifact_prefix={self.found}/"]
        if os.path.exists(dictionary):
            command.append("-dict=" + dictionary)
        kept = os.path.join(KEPT, self.target)
        command += [self.corpus] + ([kept] if os.path.isdir(kept) else [])
        begin = time.monotonic()
        with open(self.log, "w", encoding="utf-8", errors="replace") as log:
            self.status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT,
                                         env=environment(), check=False).returncode
        self.took = time.monotonic() - begin
        self.read_log()
        return self

    def read_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            self.text = log.read()
        # A target that dies prints no statistics: its last line says how far it came.
        steps = re.findall(r"^#(\d+)\t", self.text, re.M)
        self.executions = int(self.statistic("number_of_executed_units")
                              or (steps[-1] if steps else 0))
        added = self.statistic("new_units_added")
        self.added = int(added) if added else len(re.findall(r"^#\d+\tNEW ", self.text, re.M))
        self.coverage = ([0] + re.findall(r"\bcov: (\d+)", self.text))[-1]
        self.inputs = [path for path in re.findall(r"Test unit written to (\S+)", self.text)
                       if not os.path.basename(path).startswith("slow-unit-")]

    def statistic(self, name):
        match = re.search(rf"^stat::{name}:\s+(\d+)", self.text, re.M)
        return match and match[1]

    @property
    def failed(self):
        return self.status != 0

    def what(self):
        """The line that says what was wrong, as well as it is known."""
        for pattern in (r"^.*: not true: .*$", r"^.*runtime error: .*$", r"^SUMMARY: .*$",
                        r"^==\d+== ?ERROR: .*$"):
            match = re.search(pattern, self.text, re.M)
            if match:
                return match[0]
        lines = self.text.strip().splitlines()
        return lines[-1] if lines else f"ended with status {self.status}"


def print_table(runs):
    header = ("target", "executions", "exec/s", "coverage", "new inputs", "crashes")
    rows = [(run.target, f"{run.executions:,}", f"{run.executions / max(run.took, 1e-3):,.0f}",
             run.coverage, str(run.added), str(int(run.failed))) for run in runs]
    widths = [max(len(str(row[i])) for row in [header] + rows) for i in range(len(header))]
    for row in [header] + rows:
        print("  ".join(str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))))


def fuzz(arguments, targets):
    seconds = max(1, arguments.seconds * arguments.jobs // len(targets))
    print(f"{len(targets)} targets, {seconds} s each, {arguments.jobs} at once", flush=True)
    runs = [Run(arguments, target, seconds) for target in targets]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = list(pool.map(Run.go, runs))
    print_table(runs)
    failed = [run for run in runs if run.failed]
    for run in failed:
        print(f"\n{run.target}: {run.what()}\n  log:   {run.log}")
        for path in run.inputs:
            print(f"  input: {path}\n  again: {run.program} {path}")
    if failed:
        print(f"\n{len(failed)} of {len(runs)} targets have found something")
    return 1 if failed else 0


# ---- What is kept ----


def size_of(path):
    return sum(os.path.getsize(os.path.join(where, name))
               for where, _, names in os.walk(path) for name in names)


def merge(arguments, target):
    """Adds inputs that reach code which the kept ones don't. Those that are kept stay, since each
    may be there for a reason of its own."""
    kept = folder(KEPT, target)
    before = set(os.listdir(kept))
    command = [program_of(arguments, target), "-set_cover_merge=1", "-use_counters=0",
               f"-max_len={KEPT_BYTES_MAX}", f"-timeout={TIMEOUT_S}", kept,
               folder(WORK, "corpus", target)]
    with tempfile.TemporaryFile() as log:
        status = subprocess.run(command, stdout=log, stderr=log, env=environment(),
                                check=False).returncode
        if status != 0:
            log.seek(0)
            print(log.read().decode(errors="replace"), file=sys.stderr)
            return f"{target}: ended with status {status}"
    added = sorted(set(os.listdir(kept)) - before)
    for name in added:
        path = os.path.join(kept, name)
        with open(path, "rb") as file:
            digest = hashlib.sha1(file.read()).hexdigest()
        os.rename(path, os.path.join(kept, "found-" + digest[:8]))
    print(f"{target}: {len(before)} kept, {len(added)} added, {size_of(kept):,} bytes", flush=True)
    return None


def merge_all(arguments, targets):
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        problems = [problem for problem in
                    pool.map(lambda target: merge(arguments, target), targets) if problem]
    for problem in problems:
        print(problem, file=sys.stderr)
    total = size_of(KEPT)
    print(f"{KEPT} has {total:,} bytes")
    if total > KEPT_TOTAL_MAX:
        print(f"that is too much: {KEPT_TOTAL_MAX:,} at most", file=sys.stderr)
    return 1 if problems or total > KEPT_TOTAL_MAX else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", required=True, metavar="FOLDER")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    arguments = parser.parse_args()
    known = targets_of(arguments.programs)
    unknown = sorted(set(arguments.targets) - set(known))
    if unknown or not known:
        parser.error(f"no such target: {' '.join(unknown)}; there are {' '.join(known)}")
    targets = sorted(set(arguments.targets)) or known
    return merge_all(arguments, targets) if arguments.merge else fuzz(arguments, targets)


if __name__ == "__main__":
    sys.exit(main())
