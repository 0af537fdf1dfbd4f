"""The operators of a population as arrays: what a cost model needs to know, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from search_spaces.arrays import Bools, Ints

WEIGHTLESS = ("pool", "scale")
DENSE = 100  # percent of the weights
SIZES = ("c_in", "c_out", "kernel", "side_in", "side_out", "groups", "density")
FLAGS = ("residual", "passes")
ALWAYS: Bools = np.ones(1, dtype=bool)


def half(side: Any) -> Any:
    """Side behind a layer of stride 2 that pads its input."""
    return (side + 1) // 2


@dataclass(frozen=True)
class Operators:
    """Every operator slot of `n` programs; an absent operator has `c_out == 0`.

    `kinds` names the slot: "conv", "depthwise" (one filter per channel), "linear", "pool", "scale"
    (every channel times its own factor). The arrays are `(n, slots)`: channels, kernel width, the
    side of the square input and output, and `groups`, into which a convolution splits its channels:
    group i reads group i of the input alone; `density` is the percent of its weights that pruning
    leaves. A convolution counts as fused with its batch norm, activation and residual addition;
    `residual` marks those that read a second input. `inputs` are the slots that a slot reads; where
    one of them is absent, it stands for its own inputs, or for nothing where `passes` is false
    (`search_spaces.graph` follows them).
    """

    kinds: tuple[str, ...]
    stages: tuple[int, ...]  # depth order, for features per stage
    c_in: Ints
    c_out: Ints
    kernel: Ints
    side_in: Ints
    side_out: Ints
    groups: Ints
    density: Ints
    residual: Bools
    inputs: tuple[tuple[int, ...], ...]  # earlier slots alone
    passes: Bools

    @cached_property
    def present(self) -> Bools:
        return self.c_out > 0

    @cached_property
    def any_pruned(self) -> bool:
        """Whether an operator of some program keeps a part of its weights alone."""
        return bool((self.density[self.present] < DENSE).any())

    @cached_property
    def macs(self) -> Ints:
        """Multiply-accumulates of each operator; pooling and scaling have none."""
        macs: Ints = self.params * self.side_out**2
        return macs

    @cached_property
    def params(self) -> Ints:
        """Weights that each operator keeps (biases and batch norm are folded and not counted)."""
        weighted = np.array([kind not in WEIGHTLESS for kind in self.kinds])
        depthwise = np.array([kind == "depthwise" for kind in self.kinds])
        fan_in = np.where(depthwise, 1, self.c_in // np.maximum(1, self.groups))
        params: Ints = fan_in * self.c_out * self.kernel**2 * weighted * self.density // DENSE
        return params

    @cached_property
    def elements_moved(self) -> Ints:
        """Values read and written when nothing stays in a cache: inputs, weights, outputs."""
        outputs = self.c_out * self.side_out**2
        inputs = self.c_in * self.side_in**2 * self.present
        return inputs + outputs * (1 + self.residual) + self.params

    @staticmethod
    def stack(slots: Sequence[Slot]) -> Operators:
        """Operators of `slots`, whose values are broadcast to one population size."""
        n = max(np.size(slot.c_out) for slot in slots)
        arrays = {f: _columns([getattr(s, f) for s in slots], n) for f in (*SIZES, *FLAGS)}
        present = arrays["c_out"] > 0
        whole = {f: np.where(present, a, 0) for f, a in arrays.items() if f != "passes"}
        whole["residual"] = whole["residual"].astype(bool)
        before = [(i - 1,) if i else () for i in range(len(slots))]
        return Operators(
            kinds=tuple(s.kind for s in slots),
            stages=tuple(s.stage for s in slots),
            inputs=tuple(
                b if s.inputs is None else s.inputs for s, b in zip(slots, before, strict=True)
            ),
            passes=arrays["passes"],
            **whole,
        )


def _columns(values: Sequence[Any], n: int) -> np.ndarray:
    """(n, values): each a column, broadcast; `np.stack` would take three times as long."""
    columns = [np.asarray(value) for value in values]
    table = np.empty((n, len(columns)), np.result_type(*columns))
    for i, column in enumerate(columns):
        table[:, i] = column
    return table


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
    passes: Bools | bool = True
    inputs: tuple[int, ...] | None = None  # the slot before for None
    groups: Ints | int = 1
    density: Ints | int = DENSE


@dataclass(frozen=True)
class Map:
    """A feature map (channels, side, side) of every program: the sum of what `slots` write."""

    channels: Ints | int
    side: Ints | int
    slots: tuple[int, ...] = ()

    def __add__(self, other: Map) -> Map:
        return replace(self, slots=self.slots + other.slots)


class OperatorBuilder:
    """Writes the slots of a network down in order, as a network of layers is called.

    `stage`, `on`, the programs in which a slot is present, and `groups` of convolutions hold for
    the slots that follow. An absent slot passes its input on (a skipped block), or nothing where
    `passes` is false.
    """

    def __init__(self, channels: int, side: Ints | int) -> None:
        self.slots: list[Slot] = []
        self.image = Map(channels, side)
        self.stage, self.on, self.passes = 0, ALWAYS, ALWAYS
        self.groups: Ints | int = 1

    def conv(
        self,
        x: Map,
        channels: Ints | int,
        kernel: Ints | int,
        stride: int = 1,
        *,
        add: Map | None = None,
    ) -> Map:
        """A padded convolution, its batch norm and activation, and the map that is added."""
        return self.slot("conv", x, channels, kernel, -(-x.side // stride), add)

    def depthwise(self, x: Map, kernel: Ints | int, stride: int = 1) -> Map:
        return self.slot("depthwise", x, x.channels, kernel, -(-x.side // stride))

    def pool(self, x: Map, kernel: Ints | int, side: Ints | int) -> Map:
        """Pooling to `side`."""
        return self.slot("pool", x, x.channels, kernel, side)

    def mean(self, x: Map) -> Map:
        """Global average pooling."""
        return self.pool(x, x.side, 1)

    def linear(self, x: Map, channels: Ints | int) -> Map:
        return self.slot("linear", x, channels, 1, 1)

    def scale(self, x: Map, factors: Map) -> Map:
        """Every channel of `x` times its factor."""
        return self.slot("scale", x + factors, x.channels, 1, x.side)

    def done(self) -> Operators:
        return Operators.stack(self.slots)

    def add_to(self, x: Map, other: Map) -> Map:
        """`x`, the output of one convolution, with `other` added by that convolution."""
        (slot,) = x.slots
        old = self.slots[slot]
        inputs = (*(old.inputs or ()), *other.slots)
        self.slots[slot] = replace(old, residual=True, inputs=inputs)
        return x

    def slot(
        self,
        kind: str,
        x: Map,
        channels: Ints | int,
        kernel: Ints | int,
        side: Ints | int,
        add: Map | None = None,
    ) -> Map:
        """An operator of any kind that makes a map (channels, side, side) of `x`."""
        inputs = x.slots + (add.slots if add else ())
        sizes = x.channels, channels * self.on, kernel, x.side, side
        groups = self.groups if kind == "conv" else 1
        flags = add is not None, self.passes
        self.slots.append(Slot(kind, self.stage, *sizes, *flags, inputs, groups))
        return Map(channels, side, (len(self.slots) - 1,))
