"""A training process that is really killed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from tests.nas.conftest import in_process


def killed_after(n_steps: int, steps: Callable[[], Iterable[object]]) -> None:
    """Train in another process until `steps` gave so many, or all; then SIGKILL."""
    ours, theirs = Pipe(duplex=False)
    process = in_process(_tell, theirs, steps)
    theirs.close()
    try:
        for _ in range(n_steps):
            ours.recv()
    except EOFError:  # it came to its end
        pass
    process.kill()
    process.join()


def _tell(connection: Connection, steps: Callable[[], Iterable[object]]) -> None:
    for _ in steps():
        connection.send(None)
