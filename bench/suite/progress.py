"""What is going on, on standard error, so that standard output has the table alone."""

import sys
import time


class Progress:
    """Its clock begins with the first case."""

    def __init__(self):
        self.begin = None
        self.is_terminal = sys.stderr.isatty()

    def say(self, text, end="\n"):
        print(text, end=end, file=sys.stderr, flush=True)

    @property
    def seconds(self):
        self.begin = self.begin or time.monotonic()
        return time.monotonic() - self.begin

    def case(self, number, count, case, seconds):
        self.say(f"[{self._clock()}] {number}/{count} {case.suite}: {case.name} "
                 f"(about {seconds:.0f} s)")

    def turn(self, case, name, turn):
        if self.is_terminal:
            self.say(f"\r\x1b[K    {name}, turn {turn + 1}", end="")

    def left_out(self, name, reason):
        self._clear()
        self.say(f"    {name}: {reason}")

    def done(self):
        self._clear()

    def _clear(self):
        if self.is_terminal:
            self.say("\r\x1b[K", end="")

    def _clock(self):
        minutes, seconds = divmod(int(self.seconds), 60)
        return f"{minutes:2}:{seconds:02}"
