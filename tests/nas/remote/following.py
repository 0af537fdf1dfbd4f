"""Clocks of a tree of files that follow their limits while a board is measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def following(root: Path) -> Iterator[None]:
    """Clocks of a tree of files follow their limits, as hardware does."""
    stop = threading.Event()
    limits = [*(root / "sys").rglob("*min_freq")]

    def follow() -> None:
        while not stop.wait(0.002):
            for low in limits:
                now = low.with_name(low.name.replace("min_freq", "cur_freq"))
                if now.exists() and low.read_text() != now.read_text():
                    aside = now.with_name("aside")
                    aside.write_text(low.read_text() or "0")
                    aside.replace(now)

    thread = threading.Thread(target=follow)
    thread.start()
    yield
    stop.set()
    thread.join()
