"""The once-for-all MobileNetV3 of `search_spaces.MobileNetV3Space` with all of its weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import MobileNetV3Space, Subnet
from supernets.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    Norm,
    Statistics,
)
from supernets.exits import ExitHead
from supernets.mbconv import Activation, ElasticMBConv
from supernets.static import ConvNorm, GlobalMean
from supernets.supernet import Supernet

# hard swish costs memory traffic at high resolution, so MobileNetV3 has it in the deeper half only
ACTIVATIONS: tuple[Activation, ...] = (F.relu, F.relu, F.hardswish, F.hardswish, F.hardswish)


class MobileNetV3Head(nn.Module):
    """The final classifier: 1x1 convolution, global pool, 1x1 convolution, linear."""

    def __init__(self, c_in: int, wide: int, mixed: int, n_classes: int) -> None:
        super().__init__()
        self.conv = ElasticConv2d(c_in, wide, 1)
        self.norm = ElasticBatchNorm2d(wide)
        self.mix = ElasticConv2d(wide, mixed, 1)
        self.linear = ElasticLinear(mixed, n_classes)

    def forward(self, x: Tensor, norm: Norm) -> Tensor:
        """Map features (N, C, H, H) to logits (N, classes)."""
        x = F.hardswish(norm(self.norm, self.conv(x, self.norm.weight.shape[0])))
        x = self.mix(x.mean(dim=(2, 3), keepdim=True), self.mix.weight.shape[0])
        return self.linear(F.hardswish(x).flatten(1))

    def static(self, c_in: int, statistics: Statistics | None) -> nn.Sequential:
        """The plain head behind features of `c_in` channels."""
        mixed, wide = self.mix.weight.shape[:2]
        mix = nn.Linear(wide, mixed, bias=False, device="meta")  # 1x1 on one pixel
        mix.weight = nn.Parameter(self.mix.weight.detach().flatten(1).clone())
        return nn.Sequential(
            ConvNorm(self.conv.static(c_in, wide), self.norm.static(wide, statistics)),
            nn.Hardswish(),
            GlobalMean(),
            mix,
            nn.Hardswish(),
            self.linear.static(mixed),
        )


class MobileNetV3Supernet(Supernet):
    """Inverted residual blocks in five stages; `x` has the side of the subnet's resolution."""

    space: MobileNetV3Space

    def __init__(self, space: MobileNetV3Space) -> None:
        super().__init__()
        self.space = space
        stem, first = space.layer_widths[:2]
        self.stem = ElasticConv2d(space.in_channels, stem, 3, stride=2)
        self.stem_norm = ElasticBatchNorm2d(stem)
        self.first = ElasticMBConv(
            stem, stem, first, kernels=(3,), stride=1, activation=F.relu, expands=False
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(self._block(s, *shape) for shape in space.blocks(s))
            for s in range(space.n_stages)
        )
        early = [
            ExitHead(space.widths[s], space.head_width, space.n_classes, space.head_side)
            for s in space.exits
        ]
        c_in, wide, mixed = space.layer_widths[-3:]
        final = MobileNetV3Head(c_in, wide, mixed, space.n_classes)
        self.heads = nn.ModuleList([*early, final])
        self.name_norms()

    def _block(self, stage: int, c_in: int, c_out: int, stride: int) -> ElasticMBConv:
        mid = int(self.space.mid_width(c_in, max(self.space.expands)))
        return ElasticMBConv(
            c_in,
            mid,
            c_out,
            kernels=self.space.kernels,
            stride=stride,
            activation=ACTIVATIONS[stage],
            squeeze=int(self.space.squeeze_width(mid)) if self.space.squeezes[stage] else 0,
        )

    def segment(self, k: int, x: Tensor, subnet: Subnet, norm: Norm) -> Tensor:
        """Features (N, width, h, h) behind the last stage of segment k."""
        if k == 0:
            stem = self.stem_norm.weight.shape[0]
            x = F.hardswish(norm(self.stem_norm, self.stem(x, stem)))
            x = self.first(x, 3, stem, 0, norm)
        for s in self.space.stages(k):
            for b in range(subnet["d"][s]):
                i = s * self.space.slots + b
                mid = int(self.space.mid_width(x.shape[1], subnet["e"][i]))
                squeeze = int(self.space.squeeze_width(mid))
                x = self.stages[s][b](x, subnet["k"][i], mid, squeeze, norm)  # type: ignore[index]
        return x

    def static_segment(
        self, k: int, subnet: Subnet, statistics: Statistics | None
    ) -> tuple[list[nn.Module], int]:
        space, layers = self.space, list[nn.Module]()
        if k == 0:
            width = self.stem_norm.weight.shape[0]
            stem = self.stem.static(space.in_channels, width)
            layers += [ConvNorm(stem, self.stem_norm.static(width, statistics)), nn.Hardswish()]
            layers.append(self.first.static(width, 3, width, 0, statistics))
        for s in space.stages(k):
            for b, (c_in, _, _) in zip(range(subnet["d"][s]), space.blocks(s), strict=False):
                i = s * space.slots + b
                mid = int(space.mid_width(c_in, subnet["e"][i]))
                sizes = c_in, subnet["k"][i], mid, int(space.squeeze_width(mid))
                layers.append(self.stages[s][b].static(*sizes, statistics))  # type: ignore[index]
        return layers, space.widths[space.stages(k)[-1]]
