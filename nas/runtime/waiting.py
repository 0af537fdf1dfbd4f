"""Frames that wait or run on a board, and the order in which they come."""

from __future__ import annotations

import heapq
from typing import Any, Iterable, Iterator, Sequence, Tuple

import numpy as np

Arrival = Tuple[float, int, np.ndarray]  # second, number of the model, images


class Frame:
    """Images that arrived together, to be answered by one model."""

    def __init__(self, at_s: float, model: int, images: np.ndarray) -> None:
        self.at_s, self.model, self.images = at_s, model, images
        self.answers: list[Any] = []  # exits, one per image answered
        self.row, self.looked_s = -1, -np.inf  # what runs it, and when that was last thought over

    @property
    def n_left(self) -> int:
        """Images without an answer."""
        return len(self.images) - len(self.answers)


def every(
    period_s: float, frames: Iterable[np.ndarray], seconds: float = 0.0, model: int = 0
) -> Iterator[Arrival]:
    """A frame every `period_s`, from now until they end, or for `seconds` if that is not 0."""
    for i, images in enumerate(frames):
        if seconds and i * period_s >= seconds:
            return
        yield i * period_s, model, images


def merged(streams: Sequence[Iterable[Arrival]]) -> Iterator[Arrival]:
    """The frames of several models in order of arrival."""
    return heapq.merge(*streams, key=lambda arrival: arrival[:2])
