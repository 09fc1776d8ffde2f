"""The table in the terminal, and bench/results/latest.json."""

import json
import os

HIDDEN_IN_TABLE = {"latency_p999_us"}


def write_json(rows, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
        file.write("\n]\n")
    os.replace(temporary, path)


def amount(value, unit):
    """A figure as people read it."""
    if value is None:
        return "-"
    if unit == "bytes":
        for name, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip() if unit in ("us", "ms") else text


def table(rows):
    """Lines of text: per case, each metric of ours beside the others'."""
    groups = {}
    for row in rows:
        groups.setdefault((row["suite"], row["case"]), []).append(row)
    for (suite, case), members in groups.items():
        yield f"{suite}: {case}"
        shown = [row for row in members
                 if row["metric"] != "skipped" and row["metric"] not in HIDDEN_IN_TABLE]
        has_peers = any(row["peer_name"] for row in shown)
        head = ["", "ours", "(min … max)", *(["peer", "", "(min … max)", "ratio"] * has_peers)]
        yield from _aligned([head + [""] * (7 - len(head))] + [_cells(row) for row in shown])
        for row in members:
            if row["metric"] == "skipped":
                yield f"    {row['peer_name'] or 'ours'} {row['note']}"
        yield ""


def goals_table(verdicts, cases):
    """Lines of text: the goals about these cases."""
    names = {case.name for case in cases}
    shown = [verdict for verdict in verdicts if verdict.goal.case in names]
    if shown:
        yield "goals"
        yield from _aligned([["", "goal", "measured", ""]] + [
            [v.goal.what, v.goal.text, "-" if v.value is None else amount(v.value, ""), v.word]
            for v in shown])


def _cells(row):
    unit = row["unit"]
    name = row["peer_name"] or ""
    if row.get("peer_role") in ("ceiling", "reference"):
        name += f" ({row['peer_role']})"
    ratio = f"{row['ratio']:.2f}" if row["ratio"] is not None else ""
    return [row["metric"], amount(row["ours"], unit), _range(row, "ours", unit),
            name, amount(row["peer"], unit) if name else "", _range(row, "peer", unit), ratio]


def _range(row, side, unit):
    least, most = row[f"{side}_min"], row[f"{side}_max"]
    if least is None or least == most:
        return ""
    return f"({amount(least, '' if unit == 'us' else unit)} … " \
           f"{amount(most, '' if unit == 'us' else unit)})"


def _aligned(table_rows):
    widths = [max(len(row[column]) for row in table_rows) for column in range(len(table_rows[0]))]
    for row in table_rows:
        cells = [cell.ljust(width) if column in (0, 3) else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        yield ("    " + "  ".join(cells)).rstrip()
