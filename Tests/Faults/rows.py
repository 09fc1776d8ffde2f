"""The rows of the fault suite. Each is a function of a rig that returns its findings."""

import os
import random
import signal
import time
from collections import namedtuple

from rig import now_ms, wait_until

# What was looked at, what the goal is, what was measured, and whether that is good enough.
Finding = namedtuple("Finding", "what goal measured is_met")


def failed(calls):
    return [call for call in calls if not call.is_ok]


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else 0.0


def p99(calls, begin, end):
    return percentile([c.took for c in calls if begin <= c.start < end], 99)


def no_failures(what, calls):
    wrong = failed(calls)
    first = f": {wrong[0].code}, {wrong[0].detail[:120]}" if wrong else ""
    return Finding(what, "0 failed", f"{len(wrong)} of {len(calls):,}{first}", not wrong)


def last_trouble(calls, since, normal_ms):
    """How long after `since` calls began that noticed something, in milliseconds."""
    noticed = [c.start - since for c in calls
               if c.start >= since - 2000 and c.start + c.took >= since
               and (not c.is_ok or c.attempts > 1 or c.took > normal_ms)]
    return max(noticed, default=0.0)


def out_within(what, calls, since, until, limit_ms, normal_ms=200):
    """The trouble of a fault at `since`; what begins after `until`, its end, is another story."""
    calls = [c for c in calls if c.start < until]
    took = last_trouble(calls, since, normal_ms)
    return Finding(what, f"within {limit_ms / 1000:g} s", f"{max(took, 0) / 1000:.2f} s",
                   took <= limit_ms)


# ---- Nodes that end ----

def rolling_restart(rig):
    rig.start_etcd()
    nodes = rig.start_nodes(3)
    caller = rig.start_caller("--rate", "2000", "--seconds", "12", "--once")
    for node in nodes:
        time.sleep(1)
        node.terminate()
        rig.start_node().wait_ready()
    return [no_failures("every node restarted, 2,000 calls/s, none declared idempotent",
                        caller.journal())]


def killed(rig):
    rig.start_etcd()
    nodes = rig.start_nodes(3)
    caller = rig.start_caller("--rate", "2000", "--seconds", "8")
    time.sleep(3)
    moment = now_ms()
    nodes[0].kill()
    calls = caller.journal()
    return [no_failures("one of three nodes killed, idempotent calls", calls),
            out_within("the node is out", calls, moment, moment + 4000, 1000)]


def stalled(rig):
    rig.start_etcd()
    nodes = rig.start_nodes(3)
    caller = rig.start_caller("--rate", "2000", "--seconds", "14")
    time.sleep(3)
    moment = now_ms()
    nodes[0].send(signal.SIGSTOP)
    time.sleep(6)
    nodes[0].send(signal.SIGCONT)
    again = now_ms()
    calls = caller.journal()
    back = [c for c in calls if c.node == nodes[0].id and c.start > again]
    return [no_failures("one of three nodes stalled for 6 s, idempotent calls", calls),
            out_within("the node is out", calls, moment, again, 2000),
            Finding("it is used again", "within 3 s",
                    f"{(back[0].start - again) / 1000:.2f} s" if back else "never",
                    bool(back) and back[0].start - again <= 3000)]


def black_hole(rig):
    rig.start_etcd()
    rig.start_nodes(2)
    rig.start_node(inside=True).wait_ready()
    caller = rig.start_caller("--rate", "2000", "--seconds", "12")
    begin = now_ms()
    time.sleep(4)
    moment = now_ms()
    rig.network.cut()
    calls = caller.journal()
    rig.network.mend()
    before = p99(calls, begin, moment - 500)
    after = p99(calls, moment + 2000, moment + 7000)
    return [no_failures("one of three nodes without a network, idempotent calls", calls),
            out_within("the node is out", calls, moment, moment + 7000, 2000),
            Finding("p99 of the calls is back to normal", "at most 2 times, or 20 ms",
                    f"{before:.1f} ms before, {after:.1f} ms after 2 s",
                    after <= max(2 * before, 20))]


# ---- The register ----

def register_lost(rig, seconds=60):
    rig.start_etcd()
    nodes = rig.start_nodes(3, "--ttl", "15")
    interval = 5
    caller = rig.start_caller(
        "--rate", "1000", "--seconds", str(seconds + 3 * interval + 5), "--once")
    time.sleep(2)
    rig.etcd.kill()
    time.sleep(seconds)
    rig.start_etcd()
    begin = now_ms()
    wait_until("all nodes are back", lambda: rig.count_keys() == len(nodes), 3 * interval)
    took = (now_ms() - begin) / 1000
    return [no_failures(f"etcd killed, and empty after {seconds} s", caller.journal()),
            Finding("all nodes are in the register again", f"within an interval, {interval} s",
                    f"{took:.1f} s", took <= interval)]


# ---- Too much, and all wrong ----

def worst_load(nodes, calls, begin, end, span=10_000):
    """The most that reached the nodes within any `span` milliseconds of a fault, for each call that
    was made: the budget of retries saves up what the calls of ten seconds earn."""
    worst = 0.0
    at = begin - span + 500
    while at + span <= end:
        offered = sum(at <= c.start < at + span for c in calls)
        served = sum(node.calls_between(at, at + span) for node in nodes)
        worst = max(worst, served / max(offered, 1))
        at += 500
    return worst


def all_failing(rig):
    rig.start_etcd()
    nodes = rig.start_nodes(3)
    caller = rig.start_caller("--rate", "1000", "--seconds", "36", "--attempts", "3")
    time.sleep(11)
    for node in nodes:
        rig.set_failing(node, True)
    begin = now_ms()
    time.sleep(11)
    end = now_ms()
    for node in nodes:
        rig.set_failing(node, False)
    mended = now_ms()
    calls = caller.journal()
    worst = worst_load(nodes, calls, begin, end)
    offered = sum(begin <= c.start < end for c in calls)
    served = sum(node.calls_between(begin, end) for node in nodes)
    refused = [c for c in calls if c.start >= begin and "circuit breaker" in c.detail]
    opened = (refused[0].start - begin) / 1000 if refused else float("inf")
    good = [c for c in calls if c.start > mended]
    last_bad = max((c.start + c.took - mended for c in good if not c.is_ok), default=0) / 1000
    return [Finding("load on nodes that fail every call, in any 10 s",
                    "at most 1.2 times what was offered",
                    f"{worst:.2f} times; {served / max(offered, 1):.2f} while they failed",
                    round(worst, 2) <= 1.2),  # a node counts every 100 ms: 1 % of the span
            Finding("the circuit breaker opens", "within its window, 10 s", f"{opened:.2f} s",
                    opened <= 10),
            Finding("calls succeed again once the nodes do", "within 10 s", f"{last_bad:.2f} s",
                    last_bad <= 10 and bool(good) and good[-1].is_ok)]


def overload(rig):
    rig.start_etcd()
    rig.start_node("--burn", "2000", pinned=0).wait_ready()
    single = ("--attempts", "1", "--timeout", "300")
    peak = rig.start_caller("--rate", "0", "--width", "16", "--seconds", "5", *single, pinned=1)
    calls = peak.journal()
    span = (calls[-1].start - calls[0].start) / 1000
    capacity = len([c for c in calls if c.is_ok]) / span
    flood = rig.start_caller(
        "--rate", str(int(3 * capacity)), "--seconds", "20", *single, pinned=1)
    calls = flood.journal()
    ended = now_ms()
    first = calls[0].start
    good = [c for c in calls if c.is_ok and c.start - first >= 2000]
    span = (calls[-1].start - first - 2000) / 1000
    goodput = len(good) / span
    calm = rig.start_caller(
        "--rate", str(int(0.7 * capacity)), "--seconds", "8", *single, pinned=1).journal()
    late = [c for c in calm if c.start >= ended + 5000]
    wrong = failed(late)
    return [Finding("goodput at 3 times the capacity, for 20 s", "at least 90 % of capacity",
                    f"{100 * goodput / capacity:.0f} % of {capacity:.0f} calls/s, p99 "
                    f"{percentile([c.took for c in good], 99):.0f} ms",
                    goodput >= 0.9 * capacity),
            Finding("at 0.7 times afterwards, from the 5th second", "0 failed",
                    f"{len(wrong)} of {len(late)}, p99 "
                    f"{percentile([c.took for c in late], 99):.0f} ms", late and not wrong)]


def crowd(rig, outage=30):
    rig.start_etcd()
    node = rig.start_node().wait_ready()
    port = node.address.rpartition(":")[2]
    rig.start_crowd(500, node.address)
    node.kill()
    time.sleep(outage)
    node = rig.start_node("--address", f"127.0.0.1:{port}").wait_ready()
    wait_until("all clients are back", lambda: (node.counts() or [(0, 0, 0)])[-1][2] >= 500, 120)
    times = [(moment, connections) for moment, _, connections in node.counts()]
    begin = times[0][0]
    by_second = {}
    before = 0
    for moment, connections in times:
        second = int((moment - begin) / 1000)
        by_second[second] = by_second.get(second, 0) + connections - before
        before = connections
    end = next(m for m, connections in times if connections >= 475)
    mean = 475 / max((end - begin) / 1000, 1)
    peak = max(by_second.values())
    return [Finding(f"500 clients come back after {outage} s: connections in one second",
                    "at most 3 times the mean", f"{peak} to {mean:.0f}: {peak / mean:.1f} times, "
                    f"95 % within {(end - begin) / 1000:.0f} s", peak <= 3 * mean)]


# ---- The store ----

def store_killed(rig, kills=200):
    """A writer is killed at any moment, again and again, in one file."""
    path = rig.path("killed.sqlite")
    dice = random.Random(8)
    acknowledged, missing, torn = 0, 0, 0
    for run in range(kills):
        writer = rig.start_store("write", path, "--run", str(run))
        wait_until("the store is open", lambda: writer.words_of("open"))
        time.sleep(dice.random() ** 2 * 0.25)
        writer.kill()
        returned = {words[0] for words in writer.lines() if words[0] != "open"}
        found = rig.check_store(path, run)
        acknowledged += len(returned)
        missing += len(returned - {words[0] for words in found})
        torn += sum(words[0] == "torn" for words in found)
    sound = rig.is_sound(path)
    return [Finding(f"commits that had returned when their writer was killed, {kills} times",
                    "0 lost", f"{missing} of {acknowledged:,}", acknowledged > 0 and not missing),
            Finding("batches of which only a part is there", "0", str(torn), not torn),
            Finding("the file afterwards", "ok", sound, sound == "ok")]


def store_full(rig):
    """A disk that is full, and has room again."""
    with rig.small_disk(6) as folder:
        if folder is None:
            return [Finding("a full disk", "no commit lost", "skipped: no tmpfs can be mounted",
                            True)]
        ballast = os.path.join(folder, "ballast")
        with open(ballast, "wb") as file:
            file.write(b"0" * (2 << 20))
        path = os.path.join(folder, "full.sqlite")
        writer = rig.start_store("fill", path, reads_input=True)
        full = wait_until("the disk is full", lambda: writer.words_of("full"), 60)
        os.unlink(ballast)
        writer.go_on()
        writer.wait(60)
        lost, written = writer.words_of("lost"), writer.words_of("written")
        sound = rig.is_sound(path)
    return [Finding("a full disk: what a commit says", "DISK_FULL", full[2],
                    full[2] == "DISK_FULL"),
            Finding("commits that had returned when the disk was full", "0 lost",
                    f"{lost[1]} of {full[1]}", int(full[1]) > 0 and lost[1] == "0"),
            Finding("commits when there is room again", "5 of 5", f"{(written or [0, 0])[1]} of 5",
                    bool(written)),
            Finding("the file afterwards", "ok", sound, sound == "ok")]


ROWS = {
    "restart": rolling_restart,
    "killed": killed,
    "stalled": stalled,
    "black-hole": black_hole,
    "register": register_lost,
    "failing": all_failing,
    "overload": overload,
    "crowd": crowd,
    "store-killed": store_killed,
    "store-full": store_full,
}
