"""The elastic ResNet of `search_spaces.ResNetSpace` with all of its weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import ResNetSpace, Subnet
from supernets.blocks import ElasticBasicBlock
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, Norm, Statistics
from supernets.exits import ExitHead, FinalHead
from supernets.static import ConvNorm
from supernets.supernet import Supernet


class ResNetSupernet(Supernet):
    """Basic blocks in stages, one exit behind each of them."""

    space: ResNetSpace

    def __init__(self, space: ResNetSpace) -> None:
        super().__init__()
        self.space = space
        widths = [max(w) for w in space.widths]
        self.stem = ElasticConv2d(space.in_channels, widths[0], 3)
        self.stem_norm = ElasticBatchNorm2d(widths[0])
        self.stages = nn.ModuleList(
            nn.ModuleList(self._block(s, b, widths) for b in range(space.slots))
            for s in range(space.n_stages)
        )
        heads = [
            ExitHead(widths[s], space.head_widths[s], space.n_classes, space.head_sides(s)[0])
            for s in range(space.n_exits)
        ]
        self.heads = nn.ModuleList([*heads, FinalHead(widths[-1], space.n_classes)])
        self.name_norms()

    def _block(self, stage: int, slot: int, widths: list[int]) -> ElasticBasicBlock:
        first = slot == 0
        width = widths[stage]
        return ElasticBasicBlock(
            widths[max(stage - 1, 0)] if first else width,
            int(self.space.mid_width(width, max(self.space.expands))),
            width,
            stride=self.space.strides[stage] if first else 1,
            project=first and self.space.projects(stage),
        )

    def segment(self, k: int, x: Tensor, subnet: Subnet, norm: Norm) -> Tensor:
        """Stage k, (N, C, H, H) to (N, width, H / stride, H / stride); the stem before stage 0."""
        depth, width, expands = subnet["d"][k], subnet["w"][k], subnet["e"]
        if k == 0:
            x = F.relu(norm(self.stem_norm, self.stem(x, width)))
        for b in range(depth):
            mid = int(self.space.mid_width(width, expands[k * self.space.slots + b]))
            x = self.stages[k][b](x, mid, width, norm)  # type: ignore[index]
        return x

    def static_segment(
        self, k: int, subnet: Subnet, statistics: Statistics | None
    ) -> tuple[list[nn.Module], int]:
        width, expands = subnet["w"][k], subnet["e"]
        layers: list[nn.Module] = []
        c_in = subnet["w"][max(k - 1, 0)]
        if k == 0:
            stem = self.stem.static(self.space.in_channels, width)
            layers += [ConvNorm(stem, self.stem_norm.static(width, statistics)), nn.ReLU()]
        for b in range(subnet["d"][k]):
            mid = int(self.space.mid_width(width, expands[k * self.space.slots + b]))
            layers.append(self.stages[k][b].static(c_in, mid, width, statistics))  # type: ignore[index]
            c_in = width
        return layers, width
