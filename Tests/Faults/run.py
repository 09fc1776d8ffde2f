#!/usr/bin/env python3
"""Runs real processes, breaks them, and looks whether their callers notice.

    Tests/Faults/run.py --program .build/faults/release/faults [--only restart,killed]

Prints a table, and exits with 1 when a goal is missed. The black hole needs a second network, and
the full disk a small one: root, or a kernel that lets users make namespaces.
"""

import argparse
import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rig import Failure, Network, Rig
from rows import ROWS, Finding

UNSHARED = "MICRO_FAULTS_UNSHARED"


def become_root_of_a_namespace(arguments):
    """Users may not make interfaces, but in a namespace of their own they may."""
    if os.geteuid() == 0 or os.environ.get(UNSHARED):
        return
    os.environ[UNSHARED] = "1"
    setup = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$0" "$@"'
    os.execvp("unshare", ["unshare", "-rnm", "--", "sh", "-c", setup, sys.executable, "-B",
                          os.path.abspath(__file__), *arguments])


def run_row(name, program):
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network()) if name == "black-hole" else None
        rig = stack.enter_context(Rig(program, network))
        return ROWS[name](rig)


def table(findings):
    head = ("", "what", "goal", "measured")
    lines = [("ok" if f.is_met else "MISSED", f.what, f.goal, f.measured) for f in findings]
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in [head, *lines])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="the built program")
    parser.add_argument("--only", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    options = parser.parse_args()
    names = options.only.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}: there are {', '.join(ROWS)}")
    program = os.path.abspath(options.program)
    if {"black-hole", "store-full"} & set(names):
        become_root_of_a_namespace(sys.argv[1:])
    findings = []
    for name in names:
        begin = time.monotonic()
        print(f"{name} ...", end=" ", flush=True)
        try:
            found = run_row(name, program)
        except (Failure, OSError) as failure:
            found = [Finding(name, "to be measured", f"failed: {failure}", False)]
        findings += found
        is_met = all(finding.is_met for finding in found)
        print(f"{'ok' if is_met else 'MISSED'} ({time.monotonic() - begin:.0f} s)", flush=True)
    print()
    print(table(findings))
    sys.exit(0 if all(finding.is_met for finding in findings) else 1)


if __name__ == "__main__":
    main()
