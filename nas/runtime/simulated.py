"""What a simulation is given, networks with their loads and a board, and what comes of it."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from .arrivals import Frames
from .heat import Heat
from .policies import Demands
from .table import CostTable

CLOSE_MS = 1e-6  # rounding: no frame is late by so little


class Model(NamedTuple):
    """A network and its load."""

    table: CostTable
    leave: np.ndarray  # (C, N) which of its exits answers an image
    correct: np.ndarray  # (C, N) bool
    frames: Frames
    demands: list[tuple[float, Demands]]  # from which millisecond on
    factor: float = 1.0  # milliseconds that images really take / the table's


class Thinking(NamedTuple):
    """What an agent's own decisions take on the board, from their microseconds on one x86 core."""

    ms_per_us: np.ndarray  # (L,)
    watts: np.ndarray  # (L,) of the whole board meanwhile


class Board(NamedTuple):
    """What besides the networks decides a run."""

    idle_w: np.ndarray  # (L,)
    delay_ms: np.ndarray  # (L, L) from asking for a clock until it acts
    heat: Heat | None = None
    shares: Sequence[tuple[float, float]] = ()  # (from ms, share of time a co-runner takes)
    caps: Sequence[tuple[float, int]] = ()  # (from ms, fastest level allowed)
    thinking: Thinking | None = None  # None: what an agent thinks is free


class Span(NamedTuple):
    """A piece of a run in which nothing changes."""

    from_ms: float
    to_ms: float
    level: int
    watts: float
    model: int  # -1 when idle
    row: int
    temperature_c: float


class Result(NamedTuple):
    """One run. Energy is the whole board's over all of `seconds`."""

    seconds: float
    joules: float
    idle_joules: float  # lowest idle power x time
    images: int
    wrong: int
    at_ms: np.ndarray  # (frames,) arrival of every completed frame
    latency_ms: np.ndarray  # (frames,)
    target_ms: np.ndarray  # (frames,)
    causes: dict[str, int]  # switches of the clock: begin, within, tick, idle; `configuration`
    busy_ms: float
    spans: list[Span]  # where they were kept
    overdue: int = 0  # frames without an answer at the end, and past their target

    @property
    def late(self) -> np.ndarray:
        """Which frames missed their target, (frames,)."""
        return self.latency_ms > self.target_ms + CLOSE_MS

    @property
    def late_share(self) -> float:
        """Of the frames that were answered or should have been, those that missed their target."""
        due = len(self.at_ms) + self.overdue
        return float(self.late.sum() + self.overdue) / max(due, 1)

    def row(self) -> dict[str, Any]:
        """What a table shows of a run; None: no frame was answered."""
        frames, causes, above = len(self.at_ms), self.causes, self.joules - self.idle_joules
        running = sum(causes[cause] for cause in ("begin", "within", "tick"))
        return {
            "mj_per_frame": 1e3 * self.joules / frames if frames else None,
            "mj_above_idle": 1e3 * above / frames if frames else None,
            "frames": frames,
            "late_pct": 100 * self.late_share,
            "error_pct": 100 * self.wrong / self.images if self.images else None,
            "switches_per_s": running / self.seconds,
            "drops_per_s": causes["idle"] / self.seconds,
            "changes_per_s": causes["configuration"] / self.seconds,
            "source": "simulated",
        }
