"""How long a run takes: said beforehand, and kept."""

from dataclasses import replace

from suite import codecs

START_SECONDS = 0.3  # of a server, and to end it
RUN_SECONDS = 0.06  # of a load's start and end, of each of its runs
IDLE_SECONDS = 12  # 10,000 connections there and back
MICRO_SECONDS = 30
LEAST_MEASURED = 0.5
SLACK = 0.95  # machines differ


def seconds_of(case, pace, repeat):
    """What a case is expected to take."""
    people = len(case.participants)
    turns = case.repeat or repeat
    if case.kind == "micro":
        return MICRO_SECONDS
    if case.kind == "idle":
        return people * turns * IDLE_SECONDS
    if case.kind in ("codec", "scanner"):
        sample = codecs.START_SECONDS + codecs.WARMUP_SECONDS + codecs.MEASURED_SECONDS
        return people * (codecs.START_SECONDS + turns * sample)
    sample = pace.warmup + pace.measured + 3 * RUN_SECONDS
    if case.kind == "unary" and case.latency:
        sample += pace.latency + RUN_SECONDS
    return people * (START_SECONDS + turns * sample)


def total(cases, pace, repeat):
    return sum(seconds_of(case, pace, repeat) for case in cases)


def fitted(cases, pace, repeat, limit):
    """The pace, with shorter runs when the cases would take longer than the limit."""
    while total(cases, pace, repeat) > limit * SLACK and pace.measured > LEAST_MEASURED:
        pace = replace(pace, measured=round(pace.measured - 0.1, 1))
    return pace
