"""A frame's work: how far it is, in images, and what the rest takes at any clock."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import Any, Sequence

import numpy as np

CLOSE = 1e-9  # of an image: rounding


class Task:
    """A frame in the queue."""

    def __init__(self, model: int, at_ms: float, due_ms: float, images: np.ndarray) -> None:
        self.model, self.at_ms, self.due_ms, self.images = model, at_ms, due_ms, images
        self.n, self.done, self.answered = len(images), 0.0, 0
        self.row = -1  # the configuration that runs it; none yet
        self.took_ms = self.table_ms = 0.0  # since the last word to the agent
        self.sums: dict[tuple[int, int, int], tuple[list[float], list[float]]] = {}

    @property
    def between(self) -> bool:
        """Whether no image is half done."""
        return abs(self.done - round(self.done)) < CLOSE * max(1, self.n)

    @property
    def finished(self) -> bool:
        return self.done >= self.n - CLOSE * self.n


class Work:
    """What images cost: sums over a frame's images, made once per clock."""

    def __init__(self, models: Sequence[Any]) -> None:
        self.models = models

    def advance(self, task: Task, level: int, high: int, ms: float) -> float:
        """Work for `ms` at `level` and the power of `high`; returns the mJ it took."""
        times, energies = self._sums(task, level, high)
        begin = task.done
        task.done = _inverse(times, _at(times, begin) + ms)
        if abs(task.done - round(task.done)) < CLOSE * task.n:
            task.done = float(round(task.done))
        task.table_ms += _at(times, task.done) - _at(times, begin)
        return _at(energies, task.done) - _at(energies, begin)

    def remaining_ms(self, task: Task, level: int, *, soon: bool, after_ms: float) -> float:
        """Until the frame's end, the end of the image that runs (`soon`), or of one later."""
        times, _ = self._sums(task, level, level)
        here, until = _at(times, task.done), task.n
        if soon or after_ms <= 0:
            until = min(math.ceil(task.done - CLOSE), task.n)
        elif after_ms < math.inf:
            until = min(bisect_left(times, here + after_ms), task.n)
        return max(times[until] - here, 0.0)

    def answer(self, task: Task) -> int:
        """Count the wrong answers that its configuration has given since the last call."""
        upto = round(task.done)
        ids = task.images[task.answered : upto]
        task.answered = upto
        if not len(ids):
            return 0
        return int(len(ids) - self.models[task.model].correct[task.row, ids].sum())

    def _sums(self, task: Task, level: int, high: int) -> tuple[list[float], list[float]]:
        key = task.row, level, high
        if key not in task.sums:
            model = self.models[task.model]
            at = model.leave[task.row, task.images]
            ms = model.table.time_ms[task.row, at, level] * model.factor
            mj = ms * model.table.power_w[task.row, at, high]
            task.sums[key] = [0.0, *np.cumsum(ms).tolist()], [0.0, *np.cumsum(mj).tolist()]
        return task.sums[key]


def _at(sums: list[float], done: float) -> float:
    """The sum after `done` images, which need not be whole."""
    i = min(int(done), len(sums) - 2)
    return sums[i] + (done - i) * (sums[i + 1] - sums[i])


def _inverse(sums: list[float], value: float) -> float:
    i = min(max(bisect_right(sums, value) - 1, 0), len(sums) - 2)
    return i + min((value - sums[i]) / (sums[i + 1] - sums[i]), 1.0)
