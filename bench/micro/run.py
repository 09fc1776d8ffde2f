#!/usr/bin/env python3
"""What the operations of the C core cost, in instructions and in calls to the system's allocator.

    bench/micro/run.py                  builds, counts, and compares with thresholds.json
    bench/micro/run.py --update         makes what is counted now the thresholds
    bench/micro/run.py --json FILE      also writes the rows that bench/run.py takes over
    bench/micro/run.py --only NAME      one case alone
    bench/micro/run.py --profile NAME   the functions in which a case spends its instructions

Neither count depends on how busy the machine is, so one run is enough. Both depend on the compiler
and the libraries: where these are others than those of the thresholds, growth is told but is no
failure. The exit code is 1 when an operation has grown by more than 5 %, and 2 when nothing could
be counted.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, ".build", "bench", "micro")
PROGRAM = os.path.join(BUILD, "micro")
NAMED_PROGRAM = os.path.join(BUILD, "micro-named")
THRESHOLDS = os.path.join(HERE, "thresholds.json")

GROWTH_MAX = 1.05
ALLOCATIONS_SLACK = 0.01  # per operation: what grows once in a while
BUILD_SECONDS = 600
COUNT_SECONDS = 300
PROFILE_LINES = 40

METRICS = {"instructions": "instructions_per_operation",
           "allocations": "allocations_per_operation"}


class Failed(Exception):
    pass


def run(argv, seconds, **more):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, **more)
    except OSError as problem:
        raise Failed(f"{argv[0]}: {problem.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{argv[0]}: not done after {seconds} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(f"{os.path.basename(argv[0])}: {said[-1] if said else done.returncode}")
    return done.stdout


# ---- Counting ------------------------------------------------------------------------------------


def build(program=PROGRAM):
    run(["make", "-j2", "-C", HERE, f"OUT={BUILD}", program], BUILD_SECONDS)


def toolchain():
    """What the counts depend on beside the core."""
    compiler = run(["make", "-s", "-C", HERE, "compiler"], 60).strip()
    return f"{compiler}; {run([PROGRAM, '--libraries'], 60).strip()}"


def valgrind(program, arguments, dumps):
    """Runs a program under callgrind, which leaves a dump for each case in that folder."""
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed (package valgrind)")
    run(["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no",
         f"--callgrind-out-file={os.path.join(dumps, 'dump')}", program, *arguments],
        COUNT_SECONDS)


def dumps_by_case(folder):
    """The file of each case. Beside them there is one of what came behind the last."""
    files = {}
    for path in glob.glob(os.path.join(folder, "dump.*")):
        with open(path, encoding="utf-8") as file:
            name = re.search(r"^desc: Trigger: Client Request: (.+)$", file.read(), re.M)
        if name:
            files[name[1]] = path
    return files


def total_of(path):
    with open(path, encoding="utf-8") as file:
        return int(re.search(r"^totals: (\d+)", file.read(), re.M)[1])


def count(only=None):
    """{case: {"instructions": per operation, "allocations": per operation}}, in order."""
    arguments = ["--only", only] if only else []
    lines = [json.loads(line) for line in run([PROGRAM, *arguments], 60).splitlines()]
    with tempfile.TemporaryDirectory(prefix="micro-") as folder:
        valgrind(PROGRAM, arguments, folder)
        totals = {name: total_of(path) for name, path in dumps_by_case(folder).items()}
    counts = {}
    for line in lines:
        name, operations = line["case"], line["operations"]
        if name not in totals:
            raise Failed(f"callgrind has counted nothing for '{name}'")
        counts[name] = {"instructions": round(totals[name] / operations, 1),
                        "allocations": round(line["allocations"] / operations, 3)}
    return counts


# ---- Thresholds ----------------------------------------------------------------------------------


def read_thresholds():
    try:
        with open(THRESHOLDS, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"toolchain": None, "cases": {}}


def write_thresholds(made_with, counts, only):
    """Those of cases that were not counted this time stay."""
    cases = {**read_thresholds()["cases"], **counts} if only else counts
    with open(THRESHOLDS, "w", encoding="utf-8") as file:
        json.dump({"toolchain": made_with, "cases": cases}, file, indent=2)
        file.write("\n")


def has_grown(metric, now, before):
    slack = ALLOCATIONS_SLACK if metric == "allocations" else 0
    return now > before * GROWTH_MAX + slack


def findings(counts, thresholds, is_whole):
    """What is not as the thresholds say, one sentence each."""
    for name, now in counts.items():
        before = thresholds.get(name)
        if not before:
            yield f"'{name}' has no threshold: run with --update"
            continue
        for metric in METRICS:
            if has_grown(metric, now[metric], before[metric]):
                yield f"'{name}' has grown from {before[metric]:g} to {now[metric]:g} {metric}"
    for name in thresholds if is_whole else ():
        if name not in counts:
            yield f"'{name}' has a threshold, and is not there: run with --update"


# ---- Telling -------------------------------------------------------------------------------------


def change(now, before):
    if not before:
        return "new" if before is None else ""
    return f"{(now / before - 1) * 100:+.1f} %"


def print_table(counts, thresholds):
    width = max(map(len, counts))
    print(f"{'':{width}}  {'instructions':>12}  {'change':>8}  {'allocations':>11}")
    for name, now in counts.items():
        before = thresholds.get(name, {}).get("instructions")
        print(f"{name:{width}}  {now['instructions']:12,.0f}  "
              f"{change(now['instructions'], before):>8}  {now['allocations']:11.3f}")


def rows(counts, thresholds):
    """As bench/results/latest.json has them."""
    for name, now in counts.items():
        for metric, title in METRICS.items():
            before = thresholds.get(name, {}).get(metric)
            yield {"suite": "micro", "case": name, "metric": title, "unit": metric,
                   "ours": now[metric], "ratio": None, "threshold": before,
                   "work": "one operation of the C core, without sockets"}


def print_profile(name):
    build()
    build(NAMED_PROGRAM)
    operations = json.loads(run([PROGRAM, "--only", name], 60))["operations"]
    print_costs("libraries, self", costs_in(PROGRAM, name, "no", sum, LIBRARY), operations)
    print_costs("functions, inclusive", costs_in(NAMED_PROGRAM, name, "yes", max, FUNCTION),
                operations)
    print_costs("functions, self", costs_in(NAMED_PROGRAM, name, "no", sum, FUNCTION), operations)


# What callgrind_annotate says of a function: "1,234 (5.67%)  file:function [library]".
FUNCTION = r"^ *([\d,]+) \([^)]*\) +\S*?:(\S+)"
LIBRARY = r"^ *([\d,]+) \([^)]*\) .*\[\S*?([^/\s]+)\]$"


def costs_in(program, name, inclusive, merge, pattern):
    """{what: instructions}. A function that has others inlined has a line for each of the files,
    and a library one for each of its functions."""
    with tempfile.TemporaryDirectory(prefix="micro-") as folder:
        valgrind(program, ["--only", name], folder)
        text = run(["callgrind_annotate", "--auto=no", "--threshold=100",
                    f"--inclusive={inclusive}", dumps_by_case(folder)[name]], 60)
    costs = {}
    for cost, what in re.findall(pattern, text, re.M):
        costs.setdefault(what, []).append(int(cost.replace(",", "")))
    return {what: merge(parts) for what, parts in costs.items()}


def print_costs(title, costs, operations):
    print(f"{title}: instructions per operation")
    for what in sorted(costs, key=costs.get, reverse=True)[:PROFILE_LINES]:
        print(f"  {costs[what] / operations:10,.0f}  {what}")


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--only", metavar="NAME")
    parser.add_argument("--profile", metavar="NAME")
    return parser.parse_args()


def main():
    options = read_options()
    if options.profile:
        print_profile(options.profile)
        return 0
    build()
    made_with, counts, recorded = toolchain(), count(options.only), read_thresholds()
    thresholds = recorded["cases"]
    print_table(counts, thresholds)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(list(rows(counts, thresholds)), file, indent=2)
    if options.update:
        write_thresholds(made_with, counts, options.only)
        return 0
    problems = list(findings(counts, thresholds, is_whole=not options.only))
    for problem in problems:
        print(problem)
    if problems and recorded["toolchain"] not in (None, made_with):
        print(f"not a failure: the thresholds are of another toolchain, {recorded['toolchain']};"
              f" this one is {made_with}")
        return 0
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as problem:
        print(f"micro: {problem}", file=sys.stderr)
        sys.exit(2)
