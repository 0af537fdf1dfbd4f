"""A training process that is really killed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from tests.nas.conftest import in_process


def killed_after(
    n_steps: int, steps: Callable[[], Iterable[object]], *, runs_on: bool = False
) -> None:
    """Train in another process until `steps` gave so many, or all; then SIGKILL.

    With `runs_on` it trains on until it is hit, so that the kill may also come while files are
    written; without, it waits for the kill, however late that is.
    """
    ours, theirs = Pipe(duplex=False)
    process = in_process(_tell, theirs, steps, None if runs_on else n_steps)
    theirs.close()
    try:
        for _ in range(n_steps):
            ours.recv()
    except EOFError:  # it came to its end
        pass
    process.kill()
    process.join()


def _tell(connection: Connection, steps: Callable[[], Iterable[object]], last: int | None) -> None:
    for number, _ in enumerate(steps(), start=1):
        connection.send(None)
        if number == last:
            signal.pause()
