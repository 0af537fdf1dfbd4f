"""A score per unit and a threshold per ratio and layer, learned with the weights.

A unit is a channel, or a block or pattern of weights. A ratio keeps the units whose score is above
its threshold, so what a smaller ratio keeps is a part of what a larger one keeps. Gradients pass
straight through the comparison (All-in-One, arXiv:2212.05122): they say of a pruned unit, too,
what it would be worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.unit_ratios import first_before_second

WINDOW = 0.5  # from the threshold, within which a score has a gradient; scores begin in (0, 1]


class SoftMasks(nn.Module):
    """Masks of the units of `groups` (name to their number) at falling `shares` of the MACs.

    Units are channels. With `seconds` they are parts of layers, and of a group with n seconds the
    units behind its first n stay no longer than the one of the first n that each follows.
    `flips` (ratios, 2) counts the units that came back and that went since training began.
    """

    levels: Tensor
    before: Tensor
    flips: Tensor

    def __init__(
        self,
        groups: Mapping[str, int],
        shares: Sequence[float],
        seconds: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.names, self.sizes, self.shares = list(groups), list(groups.values()), list(shares)
        evenly = [torch.arange(n, 0, -1) / n for n in self.sizes]
        self.scores = nn.ParameterList(nn.Parameter(x) for x in evenly)
        self.seconds = list(seconds or [0] * len(groups))
        # with the square root of a share of its inputs and outputs a layer has that of its MACs
        power = 0.5 if seconds is None else 1.0
        pruned = torch.tensor([1 - s**power for s in self.shares if s < 1])
        gaps = pruned.diff().expm1().log()  # the inverse of softplus
        rows = [*pruned[:1], *gaps]
        self.steps = nn.ParameterList(nn.Parameter(x.repeat(len(self.sizes))) for x in rows)
        n, ratios = sum(self.sizes), len(self.shares)
        self.register_buffer("levels", torch.zeros(n, dtype=torch.uint8))  # zeros until `settle`
        self.register_buffer("before", torch.ones(ratios, n, dtype=torch.bool))
        self.register_buffer("flips", torch.zeros(ratios, 2, dtype=torch.int64))

    def rank(self, worth: Mapping[str, Tensor]) -> None:
        """Begin with scores in the order of `worth` (channels,) of every group, evenly apart."""
        for name, score in zip(self.names, self.scores, strict=True):
            order = worth[name].argsort().argsort()
            score.data = (order + 1).to(score) / len(order)

    def effective(self) -> list[Tensor]:
        """The scores of every group, (units,); that of a second is at most its first's."""
        pairs = zip(self.scores, self.seconds, strict=True)
        return [first_before_second(score, n) for score, n in pairs]

    def thresholds(self) -> Tensor:
        """Of every ratio and group, (ratios, groups), rising; ratio 1 is below all scores."""
        whole = [torch.full_like(self.scores[0][:1], -torch.inf).expand(len(self.sizes))]
        steps = [F.softplus(step) if i else step for i, step in enumerate(self.steps)]
        pruned = list(torch.stack(steps).cumsum(dim=0)) if steps else []
        return torch.stack([*(whole if self.shares[0] == 1 else []), *pruned])

    def masks(self, k: int) -> list[Tensor]:
        """Ones and zeros (channels,) of every group at the k-th ratio, with their gradients."""
        if self.levels.any():
            return list(torch.split((self.levels > k).float(), self.sizes))
        if self.shares[k] == 1:
            return [torch.ones_like(score) for score in self.scores]
        made = [_above(s, t) for s, t in zip(self.effective(), self.thresholds()[k], strict=True)]
        if self.training:
            self._count(k, torch.cat([mask.detach() > 0 for mask in made]))
        return made

    def settle(self, counts: Tensor) -> None:
        """Keep the best `counts` (ratios, groups) from now on, as one level per unit."""
        self.levels = torch.cat(self.levels_of(counts)).to(torch.uint8)

    def levels_of(self, counts: Tensor) -> list[Tensor]:
        """How many ratios keep each unit of every group (units,), if they keep `counts` of them."""
        parts = []
        for score, kept in zip(self.effective(), counts.T, strict=True):
            rank = score.argsort(descending=True, stable=True).argsort()
            parts.append((rank[None] < kept[:, None]).sum(dim=0))
        return parts

    def orders(self) -> dict[str, Tensor]:
        """The channels of every group, the one that is kept longest first."""
        pairs = zip(self.names, self.scores, strict=True)
        return {name: score.argsort(descending=True, stable=True) for name, score in pairs}

    @torch.no_grad()
    def _count(self, k: int, kept: Tensor) -> None:
        before = self.before[k]
        if before.all():  # the first masks: nothing came or went yet
            before.copy_(kept)
        self.flips[k, 0] += (kept & ~before).sum()
        self.flips[k, 1] += (~kept & before).sum()
        before.copy_(kept)


def _above(scores: Tensor, threshold: Tensor) -> Tensor:
    """1 where a score is above the threshold and 0 elsewhere; the gradient of a line within WINDOW.

    That of the threshold is the mean over the channels, so that wide layers move no faster than
    narrow ones. The best score is kept always, so that no layer is removed.
    """
    mean = threshold / len(scores)
    distance = scores - (mean + (threshold - mean).detach())
    line = distance.clamp(-WINDOW, WINDOW)
    kept = (distance > 0) | (scores == scores.max())
    return kept.to(scores) + (line - line.detach())
