"""Bar charts as SVG, legible on light and on dark pages."""

import os
import textwrap
from dataclasses import dataclass
from html import escape

from suite.peers import PEERS
from suite.report import amount

WIDTH, LEFT, RIGHT = 800, 190, 150
TOP, ROW, BAR = 66, 32, 18
CAPTION_LINE, CAPTION_COLUMNS = 15, 118

STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif;
         fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .quiet, .caption { fill: #59636e }
  .caption { font-size: 11px }
  .strong { font-weight: 600 }
  .ours { fill: #0969da }
  .peer { fill: #8c959f }
  .reference { fill: #54aeff }
  .ceiling { fill: #d8dee4; stroke: #8c959f; stroke-dasharray: 3 2 }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
  .axis { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d }
    text { fill: #f0f6fc }
    .quiet, .caption { fill: #9198a1 }
    .ours { fill: #4493f8 }
    .peer { fill: #656c76 }
    .reference { fill: #1f5aa8 }
    .ceiling { fill: #212830; stroke: #656c76 }
    .spread { stroke: #f0f6fc }
    .axis { stroke: #3d444d }
  }
"""


@dataclass(frozen=True)
class Chart:
    file: str
    title: str
    axis: str
    case: str
    metric: str

    def shows(self, row):
        return (row["case"], row["metric"]) == (self.case, self.metric)


@dataclass(frozen=True)
class Bar:
    label: str
    role: str
    value: float
    least: float
    most: float
    ratio: float | None


CPU, LESS = "server_cpu_us_per_request", "microseconds, less is better"
CHARTS = (
    Chart("unary-typed", "gRPC unary with protobuf: server CPU per request", LESS,
          "unary 32B 8x32 typed async", CPU),
    Chart("unary-bytes", "gRPC unary with bytes: server CPU per request", LESS,
          "unary 32B 8x32 bytes direct", CPU),
    Chart("throughput", "gRPC unary with protobuf: requests per second of one core",
          "requests per second, more is better", "unary 32B 8x32 typed async",
          "requests_per_second"),
    Chart("latency", "One call at a time: median latency", LESS, "unary 32B 1x1 typed async",
          "latency_p50_us"),
    Chart("client", "gRPC client: CPU per call", LESS, "client 32B 8x32 typed",
          "client_cpu_us_per_request"),
    Chart("chat", "Ping-pong on bidirectional streams: server CPU per message", LESS,
          "chat 32B 8x32 bytes", CPU),
    Chart("memory", "Memory per idle connection", "less is better", "10000 idle connections",
          "rss_bytes_per_connection"),
)


def draw_all(rows, machine, folder):
    """Writes the charts that there are figures for; returns them."""
    drawn = []
    for chart in CHARTS:
        members = [row for row in rows if chart.shows(row)]
        bars = bars_of(members)
        if len(bars) < 2:
            continue
        with open(os.path.join(folder, f"{chart.file}.svg"), "w", encoding="utf-8") as file:
            file.write(svg(chart, bars, caption(members, machine)))
        drawn.append(chart)
    return drawn


def bars_of(rows):
    bars = [Bar("Micro", "ours", row["ours"], row["ours_min"], row["ours_max"], None)
            for row in rows[:1] if row["ours"] is not None]
    for row in rows:
        if row["peer_name"] and row["peer"] is not None:
            bars.append(Bar(_title(row["peer_name"]), row["peer_role"], row["peer"],
                            row["peer_min"], row["peer_max"], row["ratio"]))
    return bars


def _title(name):
    return PEERS[name].title if name in PEERS else name


def caption(rows, machine):
    """Where the figures come from, in lines."""
    row = rows[0]
    cores = f"{row['cores']} server core" + ("s" if row["cores"] > 1 else "")
    versions = dict.fromkeys(_version(row) for row in rows if row["peer_version"])
    has_ceiling = any(row.get("peer_role") == "ceiling" for row in rows)
    texts = [f"{row['case']}; {cores}; medians, the lines span the least and the most.",
             f"Work: {row['work']}."
             + (" Dashed: ceilings, which serve a file or speak no HTTP/2." if has_ceiling else ""),
             f"Versions: {', '.join(versions)}." if versions else "",
             f"Machine: {machine.title}."]
    return [line for text in texts for line in textwrap.wrap(text, CAPTION_COLUMNS)]


def _version(row):
    year = f" ({row['peer_year']})" if row["peer_year"] else ""
    return f"{row['peer_version']}{year}"


def svg(chart, bars, lines):
    top = max(bar.most for bar in bars) or 1
    unit = {"rss_bytes_per_connection": "bytes", "requests_per_second": ""}.get(chart.metric, "us")
    foot = TOP + ROW * len(bars) + 22
    height = foot + CAPTION_LINE * len(lines) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(chart.title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        _text(20, 30, chart.title, "title"), _text(20, 50, chart.axis, "quiet")]
    for number, bar in enumerate(bars):
        parts += _bar(bar, TOP + ROW * number, top, unit)
    parts.append(f'<path class="axis" d="M{LEFT} {TOP - 2}V{TOP + ROW * len(bars) - 4}"/>')
    parts += [_text(20, foot + CAPTION_LINE * number, line, "caption")
              for number, line in enumerate(lines)]
    return "\n".join(parts) + "\n</svg>\n"


def _bar(bar, y, top, unit):
    scale = (WIDTH - LEFT - RIGHT) / top
    middle = y + BAR / 2
    end = LEFT + bar.most * scale
    strong = "strong" if bar.role == "ours" else ""
    yield _text(LEFT - 10, middle + 4.5, bar.label, strong, "end")
    yield (f'<rect class="{bar.role}" x="{LEFT}" y="{y}" '
           f'width="{max(bar.value * scale, 1):.1f}" height="{BAR}" rx="2"/>')
    if bar.most > bar.least:
        yield (f'<path class="spread" d="M{LEFT + bar.least * scale:.1f} {middle}H{end:.1f}'
               f'M{LEFT + bar.least * scale:.1f} {middle - 4}v8M{end:.1f} {middle - 4}v8"/>')
    times = f" ({bar.ratio:.1f}×)" if bar.ratio is not None and bar.role == "peer" else ""
    yield _text(end + 8, middle + 4.5, amount(bar.value, unit).replace(" us", " µs") + times,
                strong)


def _text(x, y, text, css="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">' \
           f"{escape(text)}</text>"
