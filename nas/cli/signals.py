"""SIGTERM and SIGHUP end a command as Ctrl-C does: cleaned up, with what was done kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("SIGTERM", "SIGHUP")  # Windows has the first alone


@contextmanager
def heard_signals() -> Iterator[list[int]]:
    """The numbers of those that came; the first one raises KeyboardInterrupt.

    A signal that is ignored, as `nohup` has it, stays so; only a main thread hears any.
    """
    heard: list[int] = []

    def stop(number: int, frame: object) -> None:
        heard.append(number)
        if len(heard) == 1:
            raise KeyboardInterrupt(signal.Signals(number).name)

    main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in NAMES if main and hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield heard
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
