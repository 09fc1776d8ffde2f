#!/usr/bin/env python3
"""Runs the conformance kit on every transport plugin of the repository.

    Scripts/run_plugin_kit.py --kit PROGRAM --build FOLDER [--cc COMPILER] [--jobs N] [NAME...]

Plugins that are bad on purpose have to fail, and with the rules that their first line names:

    /* breaks: bytes; also: many, end; run: --only echo */

`also` are rules that break as a consequence: those that fail are exactly the rule and these. `run`
are options of the kit instead of "--simulated yes". A correct one says "breaks: nothing".

    /* refused: no scheme */

has to be refused by the loader, with this text. The examples (a folder of Examples with a Makefile
whose C source includes mcore/transport_plugin.h) have to pass. NAMEs choose by part of a name.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
TESTS = os.path.join(ROOT, "Tests/TransportKit")
FLAGS = "-std=c11 -O1 -g -fPIC -shared -Wall -Wextra -Wpedantic -Werror".split()
TIMEOUT = 240


class Case:
    """A plugin, and what is expected of it."""

    def __init__(self, name, plugin, source):
        self.name, self.plugin, self.source = name, plugin, source
        self.kind, self.rules, self.text, self.run = "passes", set(), "", []

    @classmethod
    def of_test(cls, source, build):
        name = os.path.splitext(os.path.relpath(source, TESTS))[0]
        case = cls(name, os.path.join(build, name.replace("/", "-") + ".so"), source)
        with open(source, encoding="utf-8") as file:
            line = file.readline().strip()
        if match := re.fullmatch(r"/\* refused: (.+) \*/", line):
            case.kind, case.text = "refused", match[1]
        elif match := re.fullmatch(
                r"/\* breaks: ([\w-]+)(?:; also: ([\w, -]+?))?(?:; run: (.+?))? \*/", line):
            case.run = shlex.split(match[3]) if match[3] else ["--simulated", "yes"]
            if match[1] != "nothing":
                case.kind = "breaks"
                case.rules = {match[1]} | set(re.findall(r"[\w-]+", match[2] or ""))
        else:
            sys.exit(f"{source}:1: it does not say what is expected of it")
        return case

    def build(self, compiler):
        command = [compiler, *FLAGS, "-I", os.path.join(ROOT, "include"), self.source, "-o",
                   self.plugin]
        built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode == 0:
            os.chmod(self.plugin, 0o755)
        return built.stdout if built.returncode else None

    def problem(self, status, output):
        """What is not as expected; None when all is."""
        failed = re.findall(r"^FAIL \S+: ([\w-]+): ", output, re.M)
        if self.kind == "refused":
            if status != 2:
                return f"was not refused (status {status})"
            return None if self.text in output else f"was refused, and not for: {self.text}"
        if self.kind == "passes":
            return None if status == 0 and not failed else f"failed (status {status})"
        if status == 0:
            return "passed"
        if set(failed) != self.rules:
            return (f"broke {', '.join(sorted(set(failed))) or 'nothing'}, expected "
                    f"{', '.join(sorted(self.rules))}")
        if not re.search(r"^\d+ passed, \d+ failed", output, re.M):
            return "printed no summary"
        return None


def example_cases():
    for makefile in sorted(glob.glob(os.path.join(ROOT, "Examples/*/Makefile"))):
        folder = os.path.dirname(makefile)
        name = os.path.basename(folder)
        plugin = os.path.join(folder, f".build/{name}.so")
        for source in (os.path.join(folder, name + ending) for ending in (".c", ".cpp")):
            if os.path.exists(source) and is_plugin(folder):
                yield Case(f"Examples/{name}", plugin, source)


def is_plugin(folder):
    for path in glob.glob(os.path.join(folder, "*.[ch]*")):
        with open(path, encoding="utf-8") as file:
            if '"mcore/transport_plugin.h"' in file.read():
                return True
    return False


def build_example(case, compiler):
    built = subprocess.run(["make", "-s", "-C", os.path.dirname(case.source), f"CC={compiler}",
                            f"CXX={compiler}++" if compiler.endswith(("clang", "/clang"))
                            else "CXX=c++"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode == 0:
        os.chmod(case.plugin, 0o755)
    return built.stdout if built.returncode else None


def check(case, arguments):
    is_example = case.name.startswith("Examples/")
    error = build_example(case, arguments.cc) if is_example else case.build(arguments.cc)
    if error is not None:
        return "could not be built", error
    # A path, and not a link: whoever can replace a plugin's folder can replace the plugin.
    run = subprocess.run([arguments.kit, *case.run, os.path.realpath(case.plugin)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace", timeout=TIMEOUT)
    return case.problem(run.returncode, run.stdout), run.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kit", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.makedirs(arguments.build, exist_ok=True)
    os.chmod(arguments.build, 0o755)
    sources = sorted(glob.glob(os.path.join(TESTS, "*/*.c")))
    cases = [Case.of_test(source, arguments.build) for source in sources]
    cases += list(example_cases())
    if arguments.names:
        cases = [c for c in cases if any(name in c.name for name in arguments.names)]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = pool.map(lambda case: check(case, arguments), cases)
        for case, (problem, output) in zip(cases, results):
            if problem:
                failed += 1
                print(f"FAIL {case.name}: {problem}\n" + output.rstrip())
            else:
                what = {"passes": "passes", "refused": f"is refused: {case.text}"}.get(
                    case.kind, f"breaks {', '.join(sorted(case.rules))}")
                print(f"ok   {case.name} {what}")
            sys.stdout.flush()
    print(f"plugins: {len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
