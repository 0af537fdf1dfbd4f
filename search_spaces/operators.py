"""The operators of a population as arrays: what a cost model needs to know, without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_spaces.arrays import Bools, Ints

WEIGHTLESS = ("pool", "scale")


@dataclass(frozen=True)
class Operators:
    """Every operator slot of `n` programs; an absent operator has `c_out == 0`.

    `kinds` names the slot: "conv", "depthwise" (one filter per channel), "linear", "pool", "scale"
    (every channel times its own factor). The arrays are `(n, slots)`: channels, kernel width, and
    the side of the square input and output. A convolution counts as fused with its batch norm,
    activation and residual addition; `residual` marks those that read a second input.
    """

    kinds: tuple[str, ...]
    stages: tuple[int, ...]  # depth order, for features per stage
    c_in: Ints
    c_out: Ints
    kernel: Ints
    side_in: Ints
    side_out: Ints
    residual: Bools

    @property
    def present(self) -> Bools:
        return self.c_out > 0

    @property
    def macs(self) -> Ints:
        """Multiply-accumulates of each operator; pooling and scaling have none."""
        return self.params * self.side_out**2

    @property
    def params(self) -> Ints:
        """Weights of each operator (biases and batch norm are folded and not counted)."""
        weighted = np.array([kind not in WEIGHTLESS for kind in self.kinds])
        depthwise = np.array([kind == "depthwise" for kind in self.kinds])
        fan_in = np.where(depthwise, 1, self.c_in)
        return fan_in * self.c_out * self.kernel**2 * weighted

    @property
    def elements_moved(self) -> Ints:
        """Values read and written when nothing stays in a cache: inputs, weights, outputs."""
        outputs = self.c_out * self.side_out**2
        inputs = self.c_in * self.side_in**2 * self.present
        return inputs + outputs * (1 + self.residual) + self.params

    @staticmethod
    def stack(slots: list[Slot]) -> Operators:
        """Operators of `slots`, whose values are broadcast to one population size."""
        fields = ("c_in", "c_out", "kernel", "side_in", "side_out", "residual")
        n = max(np.size(slot.c_out) for slot in slots)
        arrays = {
            f: np.stack([np.broadcast_to(np.asarray(getattr(s, f)), n) for s in slots], axis=1)
            for f in fields
        }
        present = arrays["c_out"] > 0
        arrays = {f: np.where(present, a, 0) for f, a in arrays.items()}
        arrays["residual"] = arrays["residual"].astype(bool)
        return Operators(
            kinds=tuple(s.kind for s in slots), stages=tuple(s.stage for s in slots), **arrays
        )


@dataclass(frozen=True)
class Slot:
    """One operator slot; numbers are scalars or arrays over the population."""

    kind: str
    stage: int
    c_in: Ints | int
    c_out: Ints | int
    kernel: Ints | int
    side_in: Ints | int
    side_out: Ints | int
    residual: Bools | bool = False
