"""Which trial measures which kind of case."""

from suite.codecs import CodecTrial, ScannerTrial
from suite.memory import AllocationTrial, IdleTrial
from suite.scaling import BalanceTrial, BesideTrial
from suite.trials import ClientTrial, EpollTrial, StreamTrial, TransportTrial, UnaryTrial

KINDS = {
    "unary": UnaryTrial,
    "chat": StreamTrial,
    "list": StreamTrial,
    "client": ClientTrial,
    "transport": TransportTrial,
    "idle": IdleTrial,
    "allocations": AllocationTrial,
    "beside": BesideTrial,
    "balance": BalanceTrial,
    "codec": CodecTrial,
    "scanner": ScannerTrial,
}


def opener(bench):
    """How `measure` opens a trial."""
    def open_trial(case, participant):
        kind = EpollTrial if participant.program == "epoll" else KINDS[case.kind]
        return kind(bench, case, participant)
    return open_trial
