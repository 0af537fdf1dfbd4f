"""A network whose masks are learned with its weights, and what it becomes: an All-in-One supernet.

While masks are learned every ratio runs all channels, and a mask behind each batch norm puts the
pruned ones to zero; only so is there a gradient that can bring a channel back. Afterwards the
channels are put in the order of their masks, once, and every ratio is a prefix.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from search_spaces import Ints, RatioSpace, ResNetSpace, Subnet
from supernets.all_in_one import AllInOneSupernet
from supernets.channels import Channels, reorder
from supernets.elastic import ElasticBatchNorm2d, Norm, batch_norm, running_norm
from supernets.pruning.budget import check_shares, fit_counts
from supernets.pruning.channel_groups import ChannelGroups, norm_places
from supernets.pruning.soft_masks import SoftMasks
from supernets.resnet import ResNetSupernet

PENALTY = 10.0  # weight of the squared distance of a ratio's MACs from its share


class MaskedSupernet(AllInOneSupernet):
    """The largest network of `dense`, a trained one, at every ratio, times soft masks.

    `shares` are the ratios of its MACs, falling. InputError: they do not, or one of them removes a
    layer.
    """

    def __init__(self, dense: ResNetSupernet, shares: Sequence[float]) -> None:
        base = cast(ResNetSpace, dense.space)
        largest = base.subnet(base.largest)
        check_shares(shares, channel_groups(dense, largest).sizes)
        widths = tuple(int(base.stage_width(s, largest)) for s in range(base.n_stages))
        blocks = [sizes for s in range(base.n_stages) for sizes in base.block_sizes(s, largest)]
        mids, n = tuple(int(mid) for _, _, mid, _ in blocks), len(shares)
        ratios = tuple(round(1000 * share) for share in reversed(shares))
        super().__init__(RatioSpace(base, ratios, (widths,) * n, (mids,) * n))
        self.load_state_dict(dense.state_dict(), strict=False)
        norms = dict(self.norms())
        groups = channel_groups(self, self.space.subnet(self.space.largest))
        self._group_of = dict(groups.of_norm)
        for key, twin in self.twins():
            twin.load_state_dict(norms[key].state_dict())
            if key in groups.of_norm:
                self._group_of[twin.key] = groups.of_norm[key]
        self.full_macs = float(base.macs(widths, mids))
        self.masks = SoftMasks(groups.sizes, shares)
        self.masks.rank(_worth(groups, norms))

    def forward(
        self,
        x: Tensor,
        subnet: Subnet,
        *,
        heads: Sequence[int] | None = None,
        norm: Norm | None = None,
    ) -> list[Tensor]:
        """As `Supernet.forward`, with the masks of the subnet's ratio behind every batch norm."""
        plain = norm or (batch_norm if self.training else running_norm)
        masks = dict(zip(self.masks.names, self.masks.masks(self.place(subnet)), strict=True))

        def masked(layer: ElasticBatchNorm2d, x: Tensor, channels: Channels) -> Tensor:
            y = plain(layer, x, channels)
            group = self._group_of.get(layer.key)
            return y if group is None else y * masks[group].to(y.dtype)[:, None, None]

        return super().forward(x, subnet, heads=heads, norm=masked)

    def penalty(self, subnet: Subnet) -> Tensor | float:
        """What the distance of the masks' MACs from the ratio's share adds to the loss."""
        k = self.place(subnet)
        share = self.masks.shares[k]
        if share == 1:
            return 0.0
        counts = torch.stack([mask.sum() for mask in self.masks.masks(k)])
        macs: Tensor = self._macs(counts)
        return PENALTY * (macs / self.full_macs - share) ** 2

    def share(self, counts: Any) -> float:
        """Of the MACs of all channels, from the channels (groups,) of the groups."""
        return float(self._macs(counts)) / self.full_macs

    def counts(self) -> Ints:
        """Channels of every group at every ratio, (ratios, groups), close below its share."""
        thresholds = self.masks.thresholds().detach().numpy()
        scores = [s.detach().sort(descending=True).values.numpy() for s in self.masks.scores]
        margins = [[s - t for s, t in zip(scores, row, strict=True)] for row in thresholds]
        return fit_counts(margins, self.masks.shares, lambda n: float(self._macs(n)))

    @torch.no_grad()
    def compact(self, counts: Ints) -> AllInOneSupernet:
        """The network without what no ratio keeps, its channels in the order of their masks."""
        sizes = [self._sizes(row) for row in counts[::-1]]
        widths, mids = (tuple(tuple(map(int, row[i])) for row in sizes) for i in (0, 1))
        net = AllInOneSupernet(RatioSpace(self.space.base, self.space.ratios, widths, mids))
        source = copy.deepcopy(self)
        groups = channel_groups(source, source.space.subnet(source.space.largest))
        for key, twin in source.twins():
            if key in groups.of_norm:
                groups.places[groups.of_norm[key]] += norm_places(twin)
        for name, order in self.masks.orders().items():
            reorder(groups.places[name], order)
        state = source.state_dict()
        for key, tensor in net.state_dict().items():
            tensor.copy_(state[key][tuple(map(slice, tensor.shape))])
        return net

    def _sizes(self, counts: Any) -> tuple[list[Any], list[Any]]:
        """Channels of the stages and inside the blocks, from those of the groups."""
        of = dict(zip(self.masks.names, counts, strict=True))
        stages = range(self.space.n_stages)
        slots = [(s, b) for s in stages for b in range(self.space.stage_slots[s])]
        widths = [of[self._group_of[f"stages.{s}.0.norm2"]] for s in stages]
        return widths, [of[self._group_of[f"stages.{s}.{b}.norm1"]] for s, b in slots]

    def _macs(self, counts: Any) -> Any:
        """MACs of the last exit's program, from the channels (groups,) of the groups."""
        return self.space.base.macs(*self._sizes(counts))


def channel_groups(net: ResNetSupernet, largest: Subnet) -> ChannelGroups:
    """The groups of `net`; the stem is as wide as the first stage, and the same channels stay."""
    groups = ChannelGroups(net.program(largest))
    groups.join(groups.of_norm["stem_norm"], groups.of_norm["stages.0.0.norm2"])
    return groups


def _worth(groups: ChannelGroups, norms: Mapping[str, ElasticBatchNorm2d]) -> dict[str, Tensor]:
    """A first guess of what channels are worth: the scales behind them (Liu et al., 2017).

    Network slimming, arXiv:1708.06519.
    """
    scales: dict[str, Tensor] = {}
    for key, name in groups.of_norm.items():
        scale = norms[key].weight.detach().abs()
        scales[name] = scales.get(name, torch.zeros_like(scale)) + scale
    return scales
