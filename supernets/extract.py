"""A subnet as a plain network of its own: what is timed, exported and deployed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from search_spaces import Subnet
from supernets.elastic import Statistics
from supernets.layers import static
from supernets.static import Segment, StaticNet
from supernets.supernet import Supernet


@torch.no_grad()
def extract(
    supernet: Supernet,
    subnet: Subnet,
    *,
    heads: Sequence[int] | None = None,
    statistics: Statistics | None = None,
) -> StaticNet:
    """A static copy that computes what `supernet(x, subnet, heads=heads)` computes in eval mode.

    `statistics` are those of `calibrate`; without them the copy has the ones of the largest subnet.
    `heads` are the exits to keep, all of them for None.
    """
    program = supernet.program(subnet, heads)
    segments = [
        Segment(nn.Sequential(*static(trunk, statistics)), nn.Sequential(*static(head, statistics)))
        for _, trunk, head in program
    ]
    return StaticNet(segments, [k for k, _, _ in program], supernet.block_rows).eval()


class PreparedSubnets:
    """Static copies of the subnets used last, folded, at most `max_bytes` of them.

    A view of shared weights is packed anew by every convolution of every call; a copy is packed
    once. Copies are made again after the shared weights changed.
    """

    def __init__(self, supernet: Supernet, *, max_bytes: int = 64 * 2**20) -> None:
        self.supernet, self.max_bytes = supernet, max_bytes
        # statistics are told apart by identity, so they are kept alive beside their copy
        self._kept: OrderedDict[tuple[object, ...], tuple[StaticNet, Statistics | None]]
        self._kept = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Memory of all copies."""
        return sum(net.n_bytes for net, _ in self._kept.values())

    def __call__(
        self,
        subnet: Subnet,
        *,
        heads: Sequence[int] | None = None,
        statistics: Statistics | None = None,
    ) -> StaticNet:
        """The static copy of `extract`, folded; a copy larger than `max_bytes` is not kept."""
        version = sum(t._version for t in self.supernet.state_dict(keep_vars=True).values())
        wanted = tuple(range(self.supernet.space.n_exits + 1) if heads is None else sorted(heads))
        key = (subnet, wanted, id(statistics), version)
        if key not in self._kept:
            net = extract(self.supernet, subnet, heads=wanted, statistics=statistics).fold()
            self._kept[key] = net, statistics
        net, _ = self._kept[key]
        self._kept.move_to_end(key)
        while self._kept and self.n_bytes > self.max_bytes:
            self._kept.popitem(last=False)
        return net
