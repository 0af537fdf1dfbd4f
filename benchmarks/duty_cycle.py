"""A duty cycle as a stand-in for a clock: a process runs for a share of every period.

`DutyCycle` starts this file as a second process, which stops the caller (SIGSTOP) and lets it go on
(SIGCONT). It needs a core of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time


class DutyCycle:
    """Lets this process run for `share` of every `period_ms`, inside `with`."""

    def __init__(self, share: float, period_ms: float) -> None:
        self.share, self.period_ms = share, period_ms
        self.controller: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> None:
        if self.share < 1:
            words = map(str, (__file__, os.getpid(), self.share, self.period_ms))
            self.controller = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE)
            assert self.controller.stdout is not None
            self.controller.stdout.readline()

    def __exit__(self, *raised: object) -> None:
        if self.controller is not None:
            self.controller.terminate()
            self.controller.wait()


def control(pid: int, share: float, period_ms: float) -> None:
    """Stop and continue `pid`, our parent, until this process is ended; it is left running."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    period, begin = period_ms / 1e3, time.perf_counter()
    while not ended and os.getppid() == pid:
        os.kill(pid, signal.SIGCONT)
        _wait(begin + share * period)
        os.kill(pid, signal.SIGSTOP)
        _wait(begin + period)
        begin += period
    os.kill(pid, signal.SIGCONT)


def _wait(until: float) -> None:
    """Spin: sleeping is not exact enough for parts of a millisecond."""
    while time.perf_counter() < until:
        pass


if __name__ == "__main__":
    control(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
