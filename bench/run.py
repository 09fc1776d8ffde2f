#!/usr/bin/env python3
"""Runs the bench suite: `bench/run.py --help`, and bench/README.md for what it measures."""

import argparse
import os
import signal
import sys

from suite import (build, cases, chart, figures, goals, kinds, machine, measure, message, micro,
                   plan, process, readme, report, trials)
from suite.peers import PEERS, Programs
from suite.progress import Progress

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, ".build", "bench")

QUICK = trials.Pace(warmup=0.3, measured=1.0, latency=0.5)
FULL = trials.Pace(warmup=0.5, measured=2.0, latency=0.5)
QUICK_LIMIT, FULL_LIMIT = 5 * 60 - 15, 25 * 60 - 60
DEFAULT_REPEAT = 3
BUSY_SHARE = 0.05


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return bench(arguments())
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except process.Failed as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
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
    parser.add_argument("--repeat", type=int, default=DEFAULT_REPEAT,
                        help="turns of each case (3)")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results"),
                        help="folder of the results (bench/results)")
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    parser.add_argument("--realtime", action="store_true",
                        help="run before the neighbours (chrt -f 10), where that is permitted")
    parser.add_argument("--readme", action="store_true",
                        help="also show the results in the README at the top")
    return parser.parse_args()


def bench(options):
    chosen = cases.select(cases.all_cases(), options.quick, options.only, options.peers)
    if options.list:
        for case in chosen:
            print(f"{case.suite}: {case.name}: {', '.join(p.name for p in case.participants)}")
        return 0
    if not chosen:
        print("bench: no case fits; see --list", file=sys.stderr)
        return 2
    progress = Progress()
    here = machine.read()
    programs = Programs(BUILD, os.path.join(BUILD, "work"))
    prepare(options, chosen, here, programs, progress)
    rows = measure_all(chosen, options, here, programs, progress)
    verdicts = goals.judge(rows)
    for line in (*report.table(rows), *report.goals_table(verdicts, chosen)):
        print(line)
    report.write_json(rows, os.path.join(options.out, "latest.json"))
    drawn = chart.draw_all(rows, here, options.out)
    if options.readme:
        readme.update(os.path.join(ROOT, "README.md"), rows, here, drawn, options.out)
    progress.say(f"results: {options.out}")
    return 0


def prepare(options, chosen, here, programs, progress):
    progress.say(f"machine: {here.title}")
    for lack in here.lacks:
        progress.say(f"note: {lack}")
    if options.realtime and not process.use_realtime():
        progress.say("note: real-time priority is not permitted here: running without")
    if not options.no_build:
        build.install_packages(ROOT, progress.say)
        build.build(ROOT, needed(chosen), programs, progress.say)
    message.write_files(programs.work_folder)
    busy = machine.busy_share()
    if busy > BUSY_SHARE:
        progress.say(f"note: other processes use {busy:.0%} of the cores: the figures are rough")


def needed(chosen):
    """The programs that the cases start."""
    names = dict.fromkeys(p.program for case in chosen for p in case.participants)
    if any(case.kind == "client" for case in chosen):
        names.update(dict.fromkeys(("ours", "c-core")))
    return [*names, "load"] if names else []


def measure_all(chosen, options, here, programs, progress):
    limit = QUICK_LIMIT if options.quick else FULL_LIMIT
    pace = plan.fitted(chosen, QUICK if options.quick else FULL, options.repeat, limit)
    planned = plan.total(chosen, pace, options.repeat)
    progress.say(f"planned: {len(chosen)} cases, about {planned / 60:.1f} minutes,"
                 f" {pace.measured:g} s per run, {options.repeat} turns")
    trial = kinds.opener(trials.Bench(here, programs, pace, programs.work_folder,
                                      os.path.join(BUILD, "logs")))

    def version(name):
        line = programs.version(name)
        return line, PEERS[name].year(line)

    rows = []
    for number, case in enumerate(chosen, 1):
        seconds = plan.seconds_of(case, pace, options.repeat)
        progress.case(number, len(chosen), case, seconds)
        if case.kind == "micro":
            rows += micro.rows(ROOT, BUILD, here, progress)
        elif options.repeat == DEFAULT_REPEAT and progress.seconds + seconds > limit:
            rows += figures.rows_of(measure.left_out(case, "the time is up"), version, here)
        else:
            outcome = measure.measure(case, trial, options.repeat, progress)
            rows += figures.rows_of(outcome, version, here)
    progress.done()
    return rows


if __name__ == "__main__":
    sys.exit(main())
