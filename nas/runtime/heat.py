"""How warm a simulated board gets, and what the kernel's own trip then allows."""

from __future__ import annotations

import math
from typing import NamedTuple


class Heat(NamedTuple):
    """A board as one mass, and the kernel's own trip."""

    ambient_c: float = 30.0
    c_per_w: float = 3.0
    seconds: float = 20.0  # to warm by 63 %
    trip_c: float = 85.0
    cool_c: float = 5.0  # below the trip: one level more


class Warmth:
    """The temperature of a board, and the fastest level that its trip allows.

    Without `heat` it stays at 25 degrees and every level is allowed.
    """

    def __init__(self, heat: Heat | None, top: int) -> None:
        """`top` is the fastest level."""
        self.heat, self.top, self.cap = heat, top, top
        self.celsius = heat.ambient_c if heat else 25.0

    def advance(self, watts: float, passed_ms: float) -> None:
        """Let the board draw `watts` for a while."""
        if self.heat is not None:
            goal = self.heat.ambient_c + self.heat.c_per_w * watts
            self.celsius -= (goal - self.celsius) * math.expm1(-passed_ms / 1e3 / self.heat.seconds)

    def look(self) -> None:
        """The trip takes one level away where the board is too hot, and gives one back."""
        assert self.heat is not None
        if self.celsius > self.heat.trip_c:
            self.cap = max(0, self.cap - 1)
        elif self.celsius < self.heat.trip_c - self.heat.cool_c:
            self.cap = min(self.top, self.cap + 1)
