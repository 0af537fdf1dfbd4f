"""Selection of unaligned g x 1 blocks: g outputs that follow each other, of one input.

A block may start at any row of its column; blocks do not overlap. The others become zero
(arXiv:2407.19644).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from search_spaces import Bools, Floats, InputError, Ints
from supernets.pruning.exact import priced_starts, programme_gains, programme_starts
from supernets.pruning.orders import aligned, expanded, greedy, window_sums

METHODS = ("exact", "programme", "bed", "greedy", "aligned")
_ORDERS = {"bed": expanded, "greedy": greedy, "aligned": aligned}


def select_blocks(
    weights: Mapping[str, ArrayLike],
    g: int,
    sparsity: float | Mapping[str, float],
    *,
    method: str = "exact",
    norm: str = "l1",
    one_budget: bool = False,
) -> dict[str, Bools]:
    """Where the kept blocks of every layer start, (rows - g + 1, columns) by the layer's name.

    `weights` are arrays or tensors (c_out, ...): c_out rows, the rest are columns. A layer keeps
    the share 1 - `sparsity` of its cells, rounded down to blocks; with `one_budget` all layers
    together do, and one may lose everything. The sum of |w| (`l1`) or w² (`l2`) that stays is the
    greatest possible with `exact` (a price per block) and `programme` (a dynamic programme,
    slower). `bed` is nearly as good, and what it keeps at a higher sparsity is a part of what it
    keeps at a lower one. `greedy` cannot place all blocks at low sparsity. `sparsity` may be one
    for each layer (without `one_budget`). InputError names the layer.
    """
    if method not in METHODS:
        raise InputError(f"`method` must be one of {', '.join(METHODS)}, got {method!r}")
    scores = {name: layer_scores(name, w, g, norm) for name, w in weights.items()}
    groups = [list(scores)] if one_budget else [[name] for name in scores]
    found: dict[str, Bools] = {}
    for names in groups:
        layers = [scores[name] for name in names]
        n_cells, room = sum(s.size for s in layers), sum(s.shape[1] * (len(s) // g) for s in layers)
        share = sparsity if isinstance(sparsity, int | float) else sparsity[names[0]]
        n_blocks = min(room, wanted_blocks(", ".join(names), n_cells, g, share))
        found |= dict(zip(names, _selected(layers, g, n_blocks, method), strict=True))
    return found


def block_mask(starts: Bools, g: int) -> Bools:
    """The cells that blocks at `starts` (rows - g + 1, columns) cover, (rows, columns)."""
    mask = np.zeros((len(starts) + g - 1, starts.shape[1]), dtype=bool)
    for i in range(g):
        mask[i : i + len(starts)] |= starts
    return mask


def covering_blocks(weight: ArrayLike, g: int) -> tuple[Bools, int]:
    """Blocks that hold all of a weight's nonzero cells: starts (rows - g + 1, columns), and `g`.

    Where none of `g` rows do (all of 10 rows by blocks of 4), `g` is halved until they fit.
    """
    needed = np.asarray(weight).reshape(len(np.asarray(weight)), -1) != 0
    rows = len(needed)
    while True:
        starts, covered = np.zeros(needed.shape, dtype=bool), np.zeros(needed.shape[1], np.int64)
        for r in range(rows):
            starts[r] = needed[r] & (covered <= r)
            covered = np.where(starts[r], r + g, covered)
        row, column = np.nonzero(starts)
        last = np.full(needed.shape[1], rows - g)  # where the next block from below may start
        for r, c in zip(row[::-1], column[::-1], strict=True):
            if r <= last[c]:
                last[c] = r - g
                continue
            starts[r, c] = False
            if last[c] < 0:
                break
            starts[last[c], c] = True
            last[c] -= g
        else:
            return starts[: rows - g + 1], g
        g = max(1, g // 2)


def retained(weight: ArrayLike, mask: Bools, norm: str = "l1") -> float:
    """The share of the norm of `weight` that stays under `mask`, in [0, 1]."""
    scores = layer_scores("weight", weight, 1, norm)
    return float(scores[mask].sum() / scores.sum())


def layer_scores(name: str, weight: ArrayLike, g: int, norm: str) -> Floats:
    """What every cell is worth, (rows, columns)."""
    if isinstance(weight, Tensor):
        weight = weight.detach().double().numpy()  # in any precision, a parameter too
    w = np.asarray(weight, dtype=np.float64)
    if w.ndim < 2 or not w.size:
        raise InputError(f"{name}: weights must be rows and columns, got shape {w.shape}")
    if not 1 <= g <= len(w):
        raise InputError(f"{name}: `g` must be 1 to its {len(w)} rows, got {g}")
    if not np.isfinite(w).all():
        raise InputError(f"{name}: {int((~np.isfinite(w)).sum())} weights are not finite")
    if norm not in ("l1", "l2"):
        raise InputError(f"`norm` must be l1 or l2, got {norm!r}")
    w = w.reshape(len(w), -1)
    return np.abs(w) if norm == "l1" else w * w


def wanted_blocks(names: str, n_cells: int, g: int, sparsity: float) -> int:
    """Blocks that stay of `n_cells` weights; InputError where none does."""
    if not 0 <= sparsity < 1:
        raise InputError(f"`sparsity` must be at least 0 and under 1, got {sparsity}")
    # without the tiny summand .9 of 80 cells would leave 7.99 of 8
    n = int(n_cells * (1 - sparsity) / g + 1e-9)
    if not n:
        raise InputError(f"{names}: `sparsity` {sparsity} leaves no block of `g` {g}")
    return n


def _selected(layers: list[Floats], g: int, n_blocks: int, method: str) -> list[Bools]:
    if method in _ORDERS:
        orders = [_ORDERS[method](s, g, n_blocks) for s in layers]
        counts = _counts([order.gains for order in orders], n_blocks)
        return [_divided(o.rounds < n, g) for o, n in zip(orders, counts, strict=True)]
    windows = [window_sums(s, g) for s in layers]
    if method == "exact":
        return priced_starts(windows, g, n_blocks)
    counts = _counts([programme_gains(w, g) for w in windows], n_blocks)
    return [programme_starts(w, g, n) for w, n in zip(windows, counts, strict=True)]


def _counts(gains: list[Floats], n_blocks: int) -> list[Ints]:
    """How many blocks every line of every layer has among the `n_blocks` greatest gains."""
    order = np.argsort(-np.concatenate([x.ravel() for x in gains]), kind="stable")
    among = np.zeros(len(order), dtype=bool)
    among[order[:n_blocks]] = True
    parts = np.split(among, np.cumsum([x.size for x in gains])[:-1])
    return [
        (part.reshape(x.shape) & np.isfinite(x)).sum(axis=0)
        for part, x in zip(parts, gains, strict=True)
    ]


def _divided(mask: Bools, g: int) -> Bools:
    """The starts of the blocks into which the runs of `mask` are cut, all of whole blocks long."""
    nth = np.cumsum(mask, axis=0) - 1
    starts: Bools = (mask & (nth % g == 0))[: len(mask) - g + 1]
    return starts
