"""A signal ends the work through the `finally` blocks, once."""

from __future__ import annotations

import contextlib
import signal
from typing import Any, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt; later ones find it stopping.

    So nothing interrupts the clocks on their way back. A SIGHUP that `nohup` ignores stays ignored.
    """
    stopped: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if not stopped:
            stopped.append(number)
            if before[number] not in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler):
                before[number](number, frame)  # who listens outside hears of it too
            raise KeyboardInterrupt(signal.Signals(number).name)

    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    heard = [number for number in SIGNALS if not (nohup and number == signal.SIGHUP)]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in heard}
    for one in heard:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
