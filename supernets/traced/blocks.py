"""Where a network can be made shallower, and where it can be left early.

A residual block is a sum of a value and of what a branch makes of that value alone; without the
branch the sum is the value. A place for an exit is where a single map passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from search_spaces.traced import BlockSlot
from supernets.operations import ELEMENTWISE
from supernets.traced.calls import Call
from supernets.traced.groups import Groups

WEIGHTED = ("conv", "linear")


class Residual(NamedTuple):
    """A sum that can be left out: its number, that of the shortcut, those of the branch."""

    node: int
    shortcut: int
    branch: frozenset[int]


class Place(NamedTuple):
    """Where an exit can be: the value that it reads, and the share of all work done by then."""

    node: int
    share: float


def readers(calls: Sequence[Call]) -> list[list[int]]:
    """Who reads every value."""
    found: list[list[int]] = [[] for _ in calls]
    for i, call in enumerate(calls):
        for j in call.inputs:
            found[j].append(i)
    return found


def residuals(calls: Sequence[Call], groups: Groups) -> list[Residual]:
    """Residual blocks in order of depth; of nested ones the outer."""
    found: list[Residual] = []
    read_by = readers(calls)
    for i, call in enumerate(calls):
        if call.kind != "add" or len(call.inputs) != 2:
            continue
        for shortcut, end in (call.inputs, call.inputs[::-1]):
            same_axis = groups.layouts[shortcut].axis == groups.layouts[i].axis
            if calls[shortcut].shape != call.shape or not same_axis:
                continue
            branch = _branch(calls, shortcut, end)
            if branch and all(r in branch or r == i for b in branch for r in read_by[b]):
                found.append(Residual(i, shortcut, branch))
                break
    return [r for r in found if not any(r.node in other.branch for other in found)]


def _branch(calls: Sequence[Call], shortcut: int, end: int) -> frozenset[int] | None:
    """What lies between two values; None where it reads anything else."""
    seen: set[int] = set()
    waiting = [end]
    while waiting:
        i = waiting.pop()
        if i == shortcut or i in seen:
            continue
        if i < shortcut:
            return None
        seen.add(i)
        waiting += calls[i].inputs
    return frozenset(seen)


def slots(calls: Sequence[Call], found: Sequence[Residual]) -> list[BlockSlot]:
    """Residual blocks as slots of stages: a stage is a run of blocks, each behind the other."""
    made: list[BlockSlot] = []
    stage, slot, behind = -1, 0, -1
    for block in found:
        start = block.shortcut
        while start != behind and calls[start].kind in ELEMENTWISE:
            (start,) = calls[start].inputs
        if start == behind:
            slot += 1
        else:
            stage, slot = stage + 1, 0
        made.append(BlockSlot(stage, slot, block.shortcut, block.node))
        behind = block.node
    return made


def work(calls: Sequence[Call]) -> list[int]:
    """Multiply-accumulates of every operation at its full size."""
    found = []
    for call in calls:
        macs = 0
        if call.kind in WEIGHTED:
            n_out = 1
            for n in call.shape[1:] if call.kind == "conv" else call.shape[:-1]:
                n_out *= n
            macs = call.weights["weight"].numel() * n_out
        found.append(macs)
    return found


def cuts(calls: Sequence[Call]) -> list[int]:
    """Values that alone pass from what is before them to what is behind."""
    last_reader = [max(r, default=i) for i, r in enumerate(readers(calls))]
    found, reach = [], -1
    for i in range(len(calls) - 1):
        if reach <= i:  # nothing before i is read behind it
            found.append(i)
        reach = max(reach, last_reader[i])
    return found


def places(calls: Sequence[Call], groups: Groups) -> list[Place]:
    """Where exits can be, in order of depth: behind a map of at least 2x2 that alone passes.

    Of such maps without work between them the last counts. Where 95 % of the work is done no
    exit pays.
    """
    macs = work(calls)
    total, done = sum(macs), 0
    at = set(cuts(calls))
    found: list[Place] = []
    for i, call in enumerate(calls):
        done += macs[i]
        square = len(call.shape) == 3 and call.shape[1] == call.shape[2] >= 2
        if i not in at or not square or groups.layouts[i].axis != 0 or not done:
            continue
        share = done / total
        if found and found[-1].share == share:
            found.pop()
        found.append(Place(i, share))
    return [place for place in found if place.share < 0.95]


def chosen(found: Sequence[Place], shares: Sequence[float] = (1 / 3, 2 / 3)) -> list[int]:
    """The places (by their number) whose work is nearest to `shares`."""
    picked: list[int] = []
    for share in shares:
        left = [k for k in range(len(found)) if k not in picked and found[k].share < 0.9]
        if left:
            picked.append(min(left, key=lambda k: abs(found[k].share - share)))
    return sorted(picked)


def last_head(calls: Sequence[Call]) -> int:
    """The value that the last classifier reads: the last cut before its layer."""
    weighted = [i for i, call in enumerate(calls) if call.kind in WEIGHTED]
    return max(cut for cut in cuts(calls) if cut < weighted[-1])
