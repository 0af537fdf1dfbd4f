"""Early exits: policies, the fixed grid of policies, and the programs whose cost they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.arrays import Bools, Floats, Ints
from search_spaces.errors import InputError

THRESHOLDS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # calibrated max softmax


@dataclass(frozen=True)
class ExitPolicy:
    """Which early exits are checked, and the calibrated confidence at which a sample leaves one."""

    after: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "after", tuple(self.after))  # lists would have no hash
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if len(self.after) != len(self.thresholds):
            raise InputError(
                f"a policy needs one threshold per exit, got exits {self.after} "
                f"and thresholds {self.thresholds}"
            )
        if list(self.after) != sorted(set(self.after)):
            raise InputError(f"exits must rise along the depth, got {self.after}")

    def __str__(self) -> str:
        """`0@0.9+2@0.7`, or `none`."""
        pairs = zip(self.after, self.thresholds, strict=True)
        return "+".join(f"{k}@{t:g}" for k, t in pairs) or "none"

    def programs(self, n_exits: int) -> list[tuple[int, ...]]:
        """The heads of each program that samples run under this policy, from short to long."""
        checked = (*self.after, n_exits)
        return [checked[: k + 1] for k in range(len(checked))]

    def to_dict(self) -> dict[str, Any]:
        return {"after": list(self.after), "thresholds": list(self.thresholds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ExitPolicy:
        return cls(tuple(values["after"]), tuple(values["thresholds"]))


def format_heads(heads: Iterable[int]) -> str:
    """The `heads` column of a measurement row, `0+2+3`."""
    return "+".join(map(str, sorted(heads)))


def parse_heads(text: str, n_exits: int) -> tuple[int, ...]:
    """The exits of a `heads` cell; empty means all of them. InputError for anything else."""
    if not text.strip():
        return tuple(range(n_exits + 1))
    try:
        heads = sorted({int(part) for part in text.split("+")})
    except ValueError:
        raise InputError(f"heads must look like 0+2, got {text!r}") from None
    if heads[0] < 0 or heads[-1] > n_exits:
        raise InputError(f"heads must lie in 0..{n_exits}, got {text!r}")
    return tuple(heads)


@dataclass(frozen=True)
class PolicyGrid:
    """All policies over `n_exits` early exits with one of `thresholds` or none at each.

    Policy 0 takes no early exit. A *program* is the trunk up to the deepest of a set of exits plus
    the heads of the whole set; `programs` lists every non-empty set as a row of booleans
    `(n_programs, n_exits + 1)`. `route[p, k]` is the program that a sample has run when it leaves
    at exit k under policy p, or -1 where policy p does not check exit k.
    """

    n_exits: int
    thresholds: tuple[float, ...] = THRESHOLDS
    levels: Ints = field(init=False, repr=False, compare=False)  # (P, n_exits), 0 = not checked
    programs: Bools = field(init=False, repr=False, compare=False)
    route: Ints = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n = self.n_exits
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        if n < 0 or list(self.thresholds) != sorted(set(self.thresholds)):
            raise InputError(
                f"a grid needs 0 exits or more and thresholds that rise, got {n} exits and "
                f"thresholds {self.thresholds}"
            )
        grid = list(product(range(len(self.thresholds) + 1), repeat=n))
        levels = np.array(grid, dtype=np.int64).reshape(len(grid), n)
        checked = np.concatenate([levels > 0, np.ones((len(levels), 1), dtype=bool)], axis=1)
        bits = 1 << np.arange(n + 1)
        programs = (np.arange(1, 1 << (n + 1))[:, None] & bits) > 0
        route = np.where(checked, np.cumsum(checked * bits, axis=1) - 1, -1)
        for name, value in (("levels", levels), ("programs", programs), ("route", route)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> ExitPolicy:
        row = self.levels[index]
        after = np.flatnonzero(row)
        chosen = (self.thresholds[level - 1] for level in row[after])
        return ExitPolicy(tuple(after.tolist()), tuple(chosen))

    def index(self, policy: ExitPolicy) -> int:
        """The row of `policy`; InputError where the grid does not hold it."""
        row = np.zeros(self.n_exits, dtype=np.int64)
        for k, threshold in zip(policy.after, policy.thresholds, strict=True):
            if not 0 <= k < self.n_exits or threshold not in self.thresholds:
                raise InputError(
                    f"the grid has exits 0 to {self.n_exits - 1} and thresholds {self.thresholds}, "
                    f"got {policy}"
                )
            row[k] = self.thresholds.index(threshold) + 1
        return int(row @ (len(self.thresholds) + 1) ** np.arange(self.n_exits)[::-1])

    def n_decisions(self) -> Ints:
        """Confidence checks done by a sample that leaves at exit k, `(P, n_exits + 1)`."""
        checked = np.concatenate([self.levels > 0, np.zeros((len(self), 1), dtype=bool)], axis=1)
        return np.cumsum(checked, axis=1)

    def response(self, confidence: NDArray[np.floating], correct: Bools) -> tuple[Floats, Floats]:
        """Top-1 error in percent `(P,)` and exit rates `(P, n_exits + 1)` of every policy.

        `confidence` and `correct` are `(images, n_exits + 1)`. Images are counted once per cell of
        reached thresholds; every policy is then a sum over cells, so one pass gives all of them.
        """
        confidence, correct = np.asarray(confidence), np.asarray(correct)
        shape = len(confidence), self.n_exits + 1
        if confidence.shape != shape or correct.shape != shape or not len(confidence):
            raise InputError(
                f"`confidence` and `correct` must be (images, {self.n_exits + 1}), one image or "
                f"more, got {confidence.shape} and {correct.shape}"
            )
        reached = np.searchsorted(self.thresholds, confidence[:, : self.n_exits], side="right")
        n_levels = len(self.thresholds) + 1
        cell = reached @ n_levels ** np.arange(self.n_exits)[::-1] if self.n_exits else 0
        cell = np.broadcast_to(cell, len(confidence))
        leaves = self._leaves()
        count = np.bincount(cell, minlength=len(self)).astype(float)
        rates = np.stack([leaf @ count for leaf in leaves], axis=1) / len(confidence)
        right = np.zeros(len(self))
        for k, leaf in enumerate(leaves):
            right += leaf @ np.bincount(cell, weights=correct[:, k], minlength=len(self))
        return 100 * (1 - right / len(confidence)), rates

    def _leaves(self) -> list[Floats]:
        """For every exit, the 0/1 matrix (policy, cell): samples of the cell leave there."""
        still = np.ones((len(self), len(self)), dtype=bool)
        leaves = []
        for k in range(self.n_exits):
            checked = self.levels[:, k, None]
            out = still & (checked > 0) & (self.levels[None, :, k] >= checked)
            leaves.append(out.astype(float))
            still &= ~out
        return [*leaves, still.astype(float)]


def ideal_mapping(correct: Bools) -> tuple[float, list[float]]:
    """The oracle of HADAS (Bouzidi et al., 2023): error in percent, dissimilarity of every exit.

    `correct` is (images, exits). An oracle sends every image to the first exit that is right,
    which no device can do: its error is a limit, not an accuracy. The dissimilarity of an exit is
    the share of what it gets right that no earlier exit got right; 0 for one that adds nothing.
    """
    correct = np.asarray(correct)
    before: Ints = np.cumsum(correct, axis=1) - correct
    right = correct.sum(axis=0)
    new = (correct & (before == 0)).sum(axis=0)
    return 100 * float(1 - correct.any(axis=1).mean()), (new / np.maximum(right, 1)).tolist()
