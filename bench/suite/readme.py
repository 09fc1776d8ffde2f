"""The results in the README, between two markers."""

import os

from suite.cases import FRAMEWORKS
from suite.peers import PEERS
from suite.process import Failed
from suite.report import amount

BEGIN, END = "<!-- bench: written by bench/run.py --readme -->", "<!-- bench: end -->"


def update(path, rows, machine, charts, folder):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    shown = section(rows, machine, charts, os.path.relpath(folder, os.path.dirname(path)))
    with open(path, "w", encoding="utf-8") as file:
        file.write(between_markers(text, shown))


def between_markers(text, shown):
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise Failed(f"the README has no place for the results: '{BEGIN}' and '{END}'")
    return f"{text[:begin]}{BEGIN}\n{shown}\n{text[end:]}"


def section(rows, machine, charts, folder):
    """The machine, a table of what the charts show, and the charts."""
    lines = [f"Measured on {machine.title}; server and load each on a core of its own. In brackets: "
             "how many times better Micro is.", "",
             f"| | Micro | {' | '.join(PEERS[name].title for name in FRAMEWORKS)} |",
             "|---|---:|" + "---:|" * len(FRAMEWORKS)]
    for chart in charts:
        lines.append(_line(chart, [row for row in rows if chart.shows(row)]))
    lines.append("")
    lines += [f"![{chart.title}]({folder}/{chart.file}.svg)" for chart in charts]
    return "\n".join(lines)


def _line(chart, rows):
    ours = rows[0]
    cells = [f"{chart.title} (`{chart.case}`)", amount(ours["ours"], ours["unit"])]
    by_name = {row["peer_name"]: row for row in rows}
    return f"| {' | '.join(cells + [_cell(by_name.get(name)) for name in FRAMEWORKS])} |"


def _cell(row):
    if row is None:
        return "–"
    times = "" if row["ratio"] is None else f" ({row['ratio']:.1f}×)"
    return amount(row["peer"], row["unit"]) + times
