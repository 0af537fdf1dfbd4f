"""The elastic ResNet of `search_spaces.ResNetSpace` with all of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import ResNetSpace, Subnet
from supernets.blocks import ElasticBasicBlock
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, Norm, batch_norm, running_norm
from supernets.exits import ExitHead, FinalHead


class ResNetSupernet(nn.Module):
    """Every subnet of `space` in one set of weights; the subnet is an argument of each call."""

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
        for key, layer in self.norms():
            layer.key = key

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

    def norms(self) -> Iterator[tuple[str, ElasticBatchNorm2d]]:
        """Every batch-norm layer with its key."""
        for name, module in self.named_modules():
            if isinstance(module, ElasticBatchNorm2d):
                yield name, module

    def forward(
        self,
        x: Tensor,
        subnet: Subnet,
        *,
        heads: Sequence[int] | None = None,
        norm: Norm | None = None,
    ) -> list[Tensor]:
        """Logits (N, classes) of `heads` in order of depth, of all exits when None.

        `x` is (N, in_channels, H, H). The trunk stops at the deepest head. `norm` defaults to the
        statistics of the batch in training mode and to those of the largest subnet in eval mode.
        """
        norm = norm or (batch_norm if self.training else running_norm)
        wanted = set(range(self.space.n_stages) if heads is None else heads)
        depths, widths, expands = subnet["d"], subnet["w"], subnet["e"]
        x = F.relu(norm(self.stem_norm, self.stem(x, widths[0])))
        logits = []
        for s in range(max(wanted) + 1):
            for b in range(depths[s]):
                mid = int(self.space.mid_width(widths[s], expands[s * self.space.slots + b]))
                x = self.stages[s][b](x, mid, widths[s], norm)  # type: ignore[index]
            if s in wanted:
                logits.append(self.heads[s](x, norm))
        return logits
