"""Measures a case: everybody in turn, again and again, so that all have the same minutes."""

import time
from dataclasses import dataclass, field

from suite.peers import Unavailable
from suite.process import Failed, Starved, Unsupported

ATTEMPTS, PAUSE_SECONDS = 4, 0.5


@dataclass
class Outcome:
    case: object
    samples: dict = field(default_factory=dict)  # participant's name -> list of metric -> value
    notes: dict = field(default_factory=dict)  # participant's name -> why it was left out


def measure(case, open_trial, repeat, progress):
    """`open_trial(case, participant)` gives a trial with `sample()` and `close()`. One that fails
    is left out from then on, and the outcome says why."""
    outcome = Outcome(case)
    trials = {}
    try:
        for participant in case.participants:
            _guarded(outcome, participant.name, progress,
                     lambda p=participant: trials.__setitem__(p.name, open_trial(case, p)))
        for turn in range(case.repeat or repeat):
            for name, trial in list(trials.items()):
                progress.turn(case, name, turn)
                sample = _guarded(outcome, name, progress, lambda t=trial: _patient(t.sample))
                if sample is None:
                    trials.pop(name).close()
                    outcome.samples.pop(name, None)
                else:
                    outcome.samples.setdefault(name, []).append(sample)
    finally:
        for trial in trials.values():
            trial.close()
    return outcome


def left_out(case, reason):
    """The outcome of a case that is not measured."""
    return Outcome(case, notes={p.name: f"skipped: {reason}" for p in case.participants})


def _patient(sample):
    """`sample()`, again when a neighbour had the cores meanwhile."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return sample()
        except Starved:
            time.sleep(attempt * PAUSE_SECONDS)
    return sample()


def _guarded(outcome, name, progress, action):
    try:
        return action()
    except (Unavailable, Unsupported) as problem:
        reason = f"skipped: {problem}"
    except Failed as problem:
        reason = f"failed: {problem}"
    outcome.notes[name] = reason
    progress.left_out(name, reason)
    return None
