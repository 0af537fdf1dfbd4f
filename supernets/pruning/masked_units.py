"""A network whose masks of blocks or patterns are learned with its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Floats, InputError, Ints, ResNetSpace, Subnet, UnitRatioSpace
from supernets.pruning.budget import check_falling, fit_counts
from supernets.pruning.masked import PENALTY
from supernets.pruning.soft_masks import SoftMasks
from supernets.resnet import ResNetSupernet
from supernets.supernet import Program
from supernets.unit_ratios import UnitSupernet, at_ratio


class MaskedUnits(UnitSupernet):
    """The largest network of `dense`, a trained one, at every ratio, times soft masks of units.

    `shares` are the ratios of its MACs, falling. The masks of a layer are one group. InputError:
    they do not fall, or what every ratio has is more than one of them.
    """

    def __init__(
        self, dense: ResNetSupernet, shares: Sequence[float], unit: str, g: int = 0
    ) -> None:
        check_falling(shares)
        ratios = tuple(round(1000 * share) for share in reversed(shares))
        super().__init__(UnitRatioSpace.of(cast(ResNetSpace, dense.space), ratios, unit, g))
        self.load_state_dict(dense.state_dict(), strict=False)
        norms = dict(self.norms())
        for key, twin in self.twins():
            twin.load_state_dict(norms[key].state_dict())
        layers = self.unit_layers
        for layer in layers.values():
            layer.choose_patterns()
        seconds = [layer.n_kernels for layer in layers.values()]
        units = {name: layer.n_units for name, layer in layers.items()}
        self.masks = SoftMasks(units, shares, seconds)
        self.masks.rank({name: layer.worth() for name, layer in layers.items()})
        self._check_smallest()

    @property
    def full_macs(self) -> float:
        return float(self.space.layer_macs().sum() + self.space.other_macs())

    def program(self, subnet: Subnet, heads: Sequence[int] | None = None) -> Program:
        masks = self.masks.masks(self.place(subnet))
        layers: list[nn.Module] = list(self.unit_layers.values())
        of = dict(zip(layers, masks, strict=True))
        return at_ratio(super().program(subnet, heads), of, self.place(subnet))

    def penalty(self, subnet: Subnet) -> Tensor | float:
        """What the distance of the masks' MACs from the ratio's share adds to the loss."""
        k = self.place(subnet)
        share = self.masks.shares[k]
        if share == 1:
            return 0.0
        parts = [(m * s.to(m)).sum() for m, s in zip(self.masks.masks(k), self._macs, strict=True)]
        macs = self.space.other_macs() + torch.stack(parts).sum()
        return PENALTY * (macs / self.full_macs - share) ** 2

    def share(self, counts: Any) -> float:
        """Of the MACs of all units, from the units (layers,) that stay, the best ones."""
        return self._macs_of(counts, self._sums()) / self.full_macs

    def counts(self) -> Ints:
        """Units of every layer at every ratio, (ratios, layers), close below its share."""
        thresholds = self.masks.thresholds().detach().numpy()
        scores = [s.detach().sort(descending=True).values.numpy() for s in self.masks.effective()]
        margins = [[s - t for s, t in zip(scores, row, strict=True)] for row in thresholds]
        sums = self._sums()
        return fit_counts(margins, self.masks.shares, lambda n: self._macs_of(n, sums))

    @torch.no_grad()
    def compact(self, counts: Ints) -> UnitSupernet:
        """The same weights, and of every unit how many ratios keep it."""
        levels = self.masks.levels_of(torch.from_numpy(counts))
        layers = self.unit_layers
        kept = [
            [float(layer.sizes[level > k].sum() / layer.sizes.sum()) for k in range(len(counts))]
            for layer, level in zip(layers.values(), levels, strict=True)
        ]
        percent = np.maximum(1, np.rint(100 * np.array(kept).T)).astype(int)[::-1]
        base, ratios = self.space.base, self.space.ratios
        rows = tuple(map(tuple, percent.tolist()))
        net = UnitSupernet(UnitRatioSpace.of(base, ratios, self.space.unit, self.space.g, rows))
        net.load_state_dict(self.state_dict(), strict=False)
        for layer, level in zip(net.unit_layers.values(), levels, strict=True):
            layer.set_levels(level)
        return net

    @property
    def _macs(self) -> list[Tensor]:
        """MACs of every unit of every layer, (units,)."""
        layers = self.unit_layers.values()
        per_layer = self.space.layer_macs().tolist()
        return [m * s.sizes / int(s.sizes.sum()) for m, s in zip(per_layer, layers, strict=True)]

    def _sums(self) -> list[Floats]:
        """MACs of the best n units of every layer, from n = 0."""
        scores = self.masks.effective()
        orders = [score.detach().argsort(descending=True, stable=True) for score in scores]
        each = [macs[order].double() for macs, order in zip(self._macs, orders, strict=True)]
        return [np.append(0, macs.cumsum(0).numpy()) for macs in each]

    def _macs_of(self, counts: Any, sums: list[Floats]) -> float:
        """MACs of the best `counts` units of every layer, and of what every ratio has."""
        kept = sum(best[int(n)] for best, n in zip(sums, counts, strict=True))
        return float(self.space.other_macs() + kept)

    def _check_smallest(self) -> None:
        least = self.space.other_macs() / self.full_macs
        if self.masks.shares[-1] <= least:
            raise InputError(
                f"`ratios`: {self.masks.shares[-1]:g} is no more than the stem and the classifier "
                f"take, {least:.3g} of the MACs, which are never pruned in {self.space.unit}s"
            )
