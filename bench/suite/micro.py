"""The micro-benchmarks of bench/micro, whose rows are taken over as they are."""

import json
import os

from suite import process
from suite.process import Failed

SECONDS = 600


def rows(root, build_folder, machine, progress):
    script = os.path.join(root, "bench", "micro", "run.py")
    out = os.path.join(build_folder, "micro.json")
    try:
        if not os.path.exists(script):
            raise Failed("bench/micro/run.py is not there")
        if os.path.exists(out):
            os.remove(out)
        code, said, err = process.run(["python3", "-B", script, "--json", out], SECONDS, cwd=root)
        if not os.path.exists(out):
            raise Failed((err or said or f"exit code {code}").strip().split("\n")[-1])
        if code:
            progress.say(f"    {(err or said).strip()}")
        with open(out, encoding="utf-8") as file:
            return [complete(row, machine) for row in json.load(file)]
    except (Failed, ValueError) as problem:
        progress.left_out("micro", f"failed: {problem}")
        return [complete({"case": "micro", "metric": "skipped", "note": f"failed: {problem}"},
                         machine)]


def complete(row, machine):
    """A row with all the keys that the others have."""
    keys = ("unit", "ours", "peer", "peer_name", "ratio", "ours_min", "ours_max", "peer_min",
            "peer_max", "peer_version", "peer_year", "cores", "work")
    return {"suite": "micro", "machine": machine.model, **dict.fromkeys(keys), **row}
