#!/usr/bin/env python3
"""Runs the bench suite: `bench/run.py --help`, and bench/README.md for what it measures."""

import argparse
import os
import signal
import sys

from suite import build, cases, figures, machine, measure, message, process, report, trials
from suite.peers import PEERS, Programs
from suite.progress import Progress

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, ".build", "bench")

QUICK = trials.Pace(warmup=0.3, measured=1.0, latency=0.5)
FULL = trials.Pace(warmup=0.5, measured=2.0, latency=0.5)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return bench(arguments())
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    finally:
        process.stop_all()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--quick", action="store_true",
                        help="the RPC part, peers included, in at most 5 minutes")
    parser.add_argument("--only", metavar="PATTERN",
                        help="cases whose 'suite name' contains this (a shell pattern)")
    parser.add_argument("--peers", metavar="LIST", type=lambda text: text.split(","),
                        help="only these peers, separated by commas")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each case (3)")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results"),
                        help="folder of the results (bench/results)")
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    parser.add_argument("--realtime", action="store_true",
                        help="run before the neighbours (chrt -f 10), where that is permitted")
    return parser.parse_args()


def bench(options):
    chosen = cases.select(cases.all_cases(), options.quick, options.only, options.peers)
    if options.list:
        for case in chosen:
            print(f"{case.suite} {case.name}: {', '.join(p.name for p in case.participants)}")
        return 0
    progress = Progress()
    here = machine.read()
    say_machine(here, progress)
    programs = Programs(BUILD, os.path.join(BUILD, "work"))
    if options.realtime and not process.use_realtime():
        progress.say("real-time priority is not permitted here: running without")
    if not options.no_build:
        build.install_packages(ROOT, progress.say)
        build.build(ROOT, needed(chosen), programs, progress.say)
    message.write_files(programs.work_folder)
    rows = measure_all(chosen, options, here, programs, progress)
    for line in report.table(rows):
        print(line)
    report.write_json(rows, os.path.join(options.out, "latest.json"))
    return 0


def say_machine(here, progress):
    progress.say(f"machine: {here.title}")
    for lack in here.lacks:
        progress.say(f"note: {lack}")


def needed(chosen):
    names = dict.fromkeys(p.program for case in chosen for p in case.participants)
    if any(case.kind == "client" for case in chosen):
        names.update(dict.fromkeys(("ours", "c-core")))
    return [*names, "load"]


def measure_all(chosen, options, here, programs, progress):
    bench_ = trials.Bench(here, programs, QUICK if options.quick else FULL,
                          programs.work_folder, os.path.join(BUILD, "logs"))

    def version(name):
        line = programs.version(name)
        return line, PEERS[name].year(line)

    rows = []
    for number, case in enumerate(chosen, 1):
        progress.case(number, len(chosen), case, 0)
        outcome = measure.measure(case, trials.open_trial(bench_), options.repeat, progress)
        rows += figures.rows_of(outcome, version, here)
    progress.done()
    return rows


if __name__ == "__main__":
    sys.exit(main())
