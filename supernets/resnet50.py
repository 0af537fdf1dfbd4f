"""The once-for-all ResNet50 of `search_spaces.ResNet50Space` with all of its weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import ResNet50Space, Subnet
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, Norm, Statistics
from supernets.exits import ExitHead, FinalHead
from supernets.static import ConvNorm, Residual
from supernets.supernet import Supernet


class ElasticBottleneck(nn.Module):
    """1x1, 3x3, 1x1 with an elastic inner width; the shortcut pools before it projects.

    ResNet-D (He et al., 2019, arXiv:1812.01187): the stride is in the 3x3 convolution.
    """

    def __init__(self, c_in: int, mid: int, c_out: int, *, stride: int, project: bool) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = ElasticConv2d(c_in, mid, 1)
        self.norm1 = ElasticBatchNorm2d(mid)
        self.conv2 = ElasticConv2d(mid, mid, 3, stride=stride)
        self.norm2 = ElasticBatchNorm2d(mid)
        self.conv3 = ElasticConv2d(mid, c_out, 1)
        self.norm3 = ElasticBatchNorm2d(c_out)
        self.project = ElasticConv2d(c_in, c_out, 1) if project else None
        self.project_norm = ElasticBatchNorm2d(c_out) if project else None

    def forward(self, x: Tensor, mid: int, c_out: int, norm: Norm) -> Tensor:
        """Map (N, C, H, W) to (N, c_out, ceil(H / stride), ceil(W / stride)) through `mid`."""
        y = F.relu(norm(self.norm1, self.conv1(x, mid)))
        y = F.relu(norm(self.norm2, self.conv2(y, mid)))
        y = norm(self.norm3, self.conv3(y, c_out))
        if self.project is not None and self.project_norm is not None:
            if self.stride > 1:
                x = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True)
            x = norm(self.project_norm, self.project(x, c_out))
        return F.relu(y + x)

    def static(self, c_in: int, mid: int, c_out: int, statistics: Statistics | None) -> Residual:
        """The plain block."""
        body = nn.Sequential(
            ConvNorm(self.conv1.static(c_in, mid), self.norm1.static(mid, statistics)),
            nn.ReLU(),
            ConvNorm(self.conv2.static(mid, mid), self.norm2.static(mid, statistics)),
            nn.ReLU(),
            ConvNorm(self.conv3.static(mid, c_out), self.norm3.static(c_out, statistics)),
        )
        shortcut = None
        if self.project is not None and self.project_norm is not None:
            norm = self.project_norm.static(c_out, statistics)
            shortcut = nn.Sequential(ConvNorm(self.project.static(c_in, c_out), norm))
            if self.stride > 1:
                shortcut.insert(0, nn.AvgPool2d(self.stride, self.stride, ceil_mode=True))
        return Residual(body, shortcut, nn.ReLU())


class ElasticStem(nn.Module):
    """Three 3x3 convolutions and a max pool; the middle one is a residual block that can go."""

    def __init__(self, c_in: int, inner: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = ElasticConv2d(c_in, inner, 3, stride=2)
        self.norm1 = ElasticBatchNorm2d(inner)
        self.conv2 = ElasticConv2d(inner, inner, 3)
        self.norm2 = ElasticBatchNorm2d(inner)
        self.conv3 = ElasticConv2d(inner, c_out, 3)
        self.norm3 = ElasticBatchNorm2d(c_out)

    def forward(self, x: Tensor, residual: int, inner: int, c_out: int, norm: Norm) -> Tensor:
        """Map (N, C, H, W) to (N, c_out, H / 4, W / 4), sides rounded up."""
        x = F.relu(norm(self.norm1, self.conv1(x, inner)))
        if residual:
            x = x + F.relu(norm(self.norm2, self.conv2(x, inner)))
        x = F.relu(norm(self.norm3, self.conv3(x, c_out)))
        return F.max_pool2d(x, 3, stride=2, padding=1)

    def static(
        self, c_in: int, residual: int, inner: int, c_out: int, statistics: Statistics | None
    ) -> nn.Sequential:
        """The plain stem."""
        first = ConvNorm(self.conv1.static(c_in, inner), self.norm1.static(inner, statistics))
        layers: list[nn.Module] = [first, nn.ReLU()]
        if residual:
            conv, norm = self.conv2.static(inner, inner), self.norm2.static(inner, statistics)
            layers.append(Residual(nn.Sequential(ConvNorm(conv, norm), nn.ReLU())))
        last = ConvNorm(self.conv3.static(inner, c_out), self.norm3.static(c_out, statistics))
        return nn.Sequential(*layers, last, nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))


class ResNet50Supernet(Supernet):
    """Bottleneck blocks in four stages; `x` has the side of the subnet's resolution."""

    space: ResNet50Space

    def __init__(self, space: ResNet50Space) -> None:
        super().__init__()
        self.space = space
        widths = [max(choices) for choices in space.width_choices]
        self.stem = ElasticStem(space.in_channels, widths[0], widths[1])
        self.stages = nn.ModuleList(
            nn.ModuleList(self._block(s, b, widths[1 + s], widths[2 + s]) for b in range(n_slots))
            for s, n_slots in enumerate(space.stage_slots)
        )
        early = [
            ExitHead(space.widths[s], space.head_width, space.n_classes, space.head_side)
            for s in space.exits
        ]
        self.heads = nn.ModuleList([*early, FinalHead(widths[-1], space.n_classes)])
        self.name_norms()

    def _block(self, stage: int, slot: int, c_in: int, c_out: int) -> ElasticBottleneck:
        first = slot == 0
        return ElasticBottleneck(
            c_in if first else c_out,
            int(self.space.mid_width(c_out, max(self.space.expands))),
            c_out,
            stride=self.space.strides[stage] if first else 1,
            project=first,
        )

    def segment(self, k: int, x: Tensor, subnet: Subnet, norm: Norm) -> Tensor:
        """Features (N, width, h, h) behind the last stage of segment k."""
        widths, expands = subnet["w"], subnet["e"]
        if k == 0:
            x = self.stem(x, subnet["s"][0], widths[0], widths[1], norm)
        for s in self.space.stages(k):
            for b in range(subnet["d"][s]):
                expand = expands[self.space.first_slot(s) + b]
                mid = int(self.space.mid_width(widths[2 + s], expand))
                x = self.stages[s][b](x, mid, widths[2 + s], norm)  # type: ignore[index]
        return x

    def static_segment(
        self, k: int, subnet: Subnet, statistics: Statistics | None
    ) -> tuple[list[nn.Module], int]:
        space, widths, layers = self.space, subnet["w"], list[nn.Module]()
        c_in = widths[1 + space.stages(k)[0]]
        if k == 0:
            sizes = space.in_channels, subnet["s"][0], widths[0], widths[1]
            layers.append(self.stem.static(*sizes, statistics))
        for s in space.stages(k):
            for b in range(subnet["d"][s]):
                mid = int(space.mid_width(widths[2 + s], subnet["e"][space.first_slot(s) + b]))
                block = self.stages[s][b]  # type: ignore[index]
                layers.append(block.static(c_in, mid, widths[2 + s], statistics))
                c_in = widths[2 + s]
        return layers, c_in
