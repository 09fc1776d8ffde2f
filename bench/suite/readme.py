"""The results in the README, between two markers."""

import os

from suite.chart import CHARTS
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
    """The machine, a table of the figures that the charts show, and the charts."""
    lines = [f"Measured on {machine.title}; server and load each on a core of its own.", "",
             "| case | figure | Micro | peer | | times better |", "|---|---|---|---|---|---|"]
    for chart in CHARTS:
        lines += [_line(row) for row in rows
                  if (row["case"], row["metric"]) == (chart.case, chart.metric)
                  and row.get("peer_role") == "peer"]
    lines.append("")
    lines += [f"![{chart.title}]({folder}/{chart.file}.svg)" for chart in charts]
    return "\n".join(lines)


def _line(row):
    version = f"{row['peer_version']} ({row['peer_year']})" if row["peer_year"] else \
        row["peer_version"] or row["peer_name"]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}"
    return (f"| {row['case']} | {row['metric'].replace('_', ' ')} | "
            f"{amount(row['ours'], row['unit'])} | {version} | "
            f"{amount(row['peer'], row['unit'])} | {ratio} |")
