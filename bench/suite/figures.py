"""From the samples of a case to the rows of bench/results/latest.json."""

import statistics
from dataclasses import dataclass

UNITS = {
    "server_cpu_us_per_request": "us",
    "server_system_us_per_request": "us",
    "client_cpu_us_per_request": "us",
    "requests_per_second": "1/s",
    "messages_per_second": "1/s",
    "latency_p50_us": "us",
    "latency_p99_us": "us",
    "latency_p999_us": "us",
    "rss_bytes": "bytes",
    "rss_bytes_per_connection": "bytes",
    "allocations_per_request": "calls",
    "cpu_us_per_operation": "us",
    "megabytes_per_second": "MB/s",
    "allocations_per_operation": "calls",
    "busier_loop_ratio": "times",
}
MORE_IS_BETTER = {"requests_per_second", "messages_per_second", "megabytes_per_second"}


@dataclass(frozen=True)
class Figure:
    median: float
    least: float
    most: float

    @staticmethod
    def of(values):
        return Figure(statistics.median(values), min(values), max(values))


def ratio(metric, our, other):
    """Above 1 when ours is better; None where a figure is zero."""
    better, worse = (our, other) if metric in MORE_IS_BETTER else (other, our)
    return better / worse if worse > 0 and better > 0 else None


def summarize(samples):
    """Metric -> Figure of a list of samples, each metric -> value."""
    metrics = dict.fromkeys(metric for sample in samples for metric in sample)
    return {metric: Figure.of([s[metric] for s in samples if metric in s]) for metric in metrics}


def rows_of(outcome, versions, machine):
    """The rows of a case: each metric of ours against each other's, and who was left out."""
    case = outcome.case
    figures = {name: summarize(samples) for name, samples in outcome.samples.items() if samples}
    our = figures.get("ours", {})
    others = [p for p in case.participants if p.role != "ours"]
    metrics = dict.fromkeys(m for each in figures.values() for m in each)
    common = {"suite": case.suite, "case": case.name, "machine": machine.model}
    for metric in metrics:
        rivals = [p for p in others if metric in figures.get(p.name, {})]
        for rival in rivals or [None]:
            theirs = figures[rival.name][metric] if rival else None
            yield {**common, **_row(case, metric, our.get(metric), rival, theirs, versions)}
    for name, reason in outcome.notes.items():
        yield {**common, "metric": "skipped", "unit": "", "ours": None, "peer": None,
               "peer_name": None if name == "ours" else name, "ratio": None,
               "cores": case.cores, "note": reason}


def _row(case, metric, our, rival, theirs, versions):
    work = next((p.work for p in case.participants if p.role == "ours"), "")
    row = {"metric": metric, "unit": UNITS.get(metric, ""),
           "ours": _rounded(our and our.median), "peer": _rounded(theirs and theirs.median),
           "peer_name": rival.name if rival else None, "ratio": None,
           "ours_min": _rounded(our and our.least), "ours_max": _rounded(our and our.most),
           "peer_min": _rounded(theirs and theirs.least),
           "peer_max": _rounded(theirs and theirs.most),
           "peer_version": None, "peer_year": None, "cores": case.cores, "work": work}
    if rival:
        row["peer_version"], row["peer_year"] = versions(rival.program)
        row["peer_role"] = rival.role
        row["peer_work"] = rival.work
        if our and rival.role != "ceiling":
            row["ratio"] = _rounded(ratio(metric, our.median, theirs.median))
    return row


def _rounded(value):
    """Four digits: more would be noise."""
    return None if value is None else float(f"{value:.4g}")
