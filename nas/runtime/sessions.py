"""Prepared networks: sessions of ONNX Runtime, the ones used last within a number of bytes.

A session can be made in the background while another one answers; whoever needs one that is being
made waits for it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Iterable, Sequence


class Sessions:
    """Sessions by graph file, made at first use.

    `make(file)` makes one, `n_bytes(file)` says what it will take. What was used least recently
    goes first; the network in use stays, however large it is.
    """

    def __init__(
        self,
        make: Callable[[str], Any],
        n_bytes: Callable[[str], float],
        limit: float = float("inf"),
    ) -> None:
        self.make, self.n_bytes, self.limit = make, n_bytes, limit
        self._made: OrderedDict[str, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._in_use: frozenset[str] = frozenset()
        self._worker: ThreadPoolExecutor | None = None
        self._waiting: list[Future[Any]] = []

    @property
    def files(self) -> list[str]:
        """What is prepared or being prepared, the one used last at the end."""
        return list(self._made)

    @property
    def used_bytes(self) -> float:
        """What the prepared ones take."""
        return sum(self.n_bytes(file) for file in self.files)

    def use(self, network: Sequence[str]) -> None:
        """The files of the network that runs from now on."""
        self._in_use = frozenset(network)

    def __call__(self, file: str) -> Any:
        """The session of `file`."""
        with self._lock:
            found = self._made.get(file)
            if found is None:
                mine = self._made[file] = Future()
                self._forget()
            else:
                self._made.move_to_end(file)
        if found is not None:
            return found.result()
        try:
            mine.set_result(self.make(file))
        except BaseException as error:
            with self._lock:
                self._made.pop(file, None)
            mine.set_exception(error)
        return mine.result()

    def foresee(self, networks: Iterable[Sequence[str]]) -> None:
        """Prepare these in the background, the likeliest first, as many as there is room for.

        What was foreseen before and has not begun is given up.
        """
        chosen = list(self._in_use)
        room = self.limit - sum(map(self.n_bytes, chosen))
        for network in networks:
            new = [file for file in network if file not in chosen]
            room -= sum(map(self.n_bytes, new))
            if room < 0:
                break
            chosen += new
        for waiting in self._waiting:
            waiting.cancel()
        with self._lock:
            for file in reversed(chosen):
                if file in self._made:
                    self._made.move_to_end(file)
        missing = [file for file in chosen if file not in self._made]
        if missing and self._worker is None:
            self._worker = ThreadPoolExecutor(1, "prepare")
        self._waiting = [self._worker.submit(self, file) for file in missing if self._worker]

    def settle(self) -> None:
        """Wait for what is being prepared in the background."""
        for waiting in self._waiting:
            if not waiting.cancelled():
                waiting.result()

    def _forget(self) -> None:
        """Room for the newest: it and the network in use stay."""
        old = [file for file in list(self._made)[:-1] if file not in self._in_use]
        while old and self.used_bytes > self.limit:
            del self._made[old.pop(0)]
