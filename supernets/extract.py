"""A subnet as a plain network of its own: what is timed, exported and deployed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from search_spaces import ResNetSpace, Subnet
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear, Statistics
from supernets.resnet import ResNetSupernet


class ConvNorm(nn.Sequential):
    """Convolution and batch norm; `fold` turns them into one convolution with a bias."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def fold(self) -> nn.Conv2d:
        return fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())


class StaticBlock(nn.Module):
    """A basic block of fixed widths."""

    def __init__(self, c_in: int, mid: int, c_out: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1: nn.Module = ConvNorm(c_in, mid, 3, stride)
        self.conv2: nn.Module = ConvNorm(mid, c_out, 3)
        self.project: nn.Module = ConvNorm(c_in, c_out, 1, stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.project(x))


class StaticHead(nn.Module):
    """A classifier of fixed width; `conv` is None behind the last stage."""

    def __init__(self, c_in: int, hidden: int | None, n_classes: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.conv: nn.Module | None = None if hidden is None else ConvNorm(c_in, hidden, 3, 2)
        self.linear = nn.Linear(hidden or c_in, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv is not None:
            x = F.avg_pool2d(x, self.pool) if self.pool > 1 else x
            x = F.relu(self.conv(x))
        return self.linear(x.mean(dim=(2, 3)))


class StaticResNet(nn.Module):
    """The program (`subnet`, `heads`) with randomly initialised weights of its own.

    `forward` maps (N, in_channels, H, H) to one logits tensor (N, classes) per head. `segments`
    runs from exit to exit, so that a caller can stop: segment i maps the features behind head i-1
    to those behind head i.
    """

    def __init__(self, space: ResNetSpace, subnet: Subnet, heads: Sequence[int]) -> None:
        super().__init__()
        self.head_ids = sorted(heads)
        depths, widths, expands = subnet["d"], subnet["w"], subnet["e"]
        self.stem: nn.Module = ConvNorm(space.in_channels, widths[0], 3)
        self.stages = nn.ModuleList()
        self.heads = nn.ModuleDict()
        for s in range(self.head_ids[-1] + 1):
            blocks = nn.Sequential()
            for b in range(depths[s]):
                first = b == 0
                mid = int(space.mid_width(widths[s], expands[s * space.slots + b]))
                c_in = widths[max(s - 1, 0)] if first else widths[s]
                stride = space.strides[s] if first else 1
                project = first and space.projects(s)
                blocks.append(StaticBlock(c_in, mid, widths[s], stride, project))
            self.stages.append(blocks)
            if s in self.head_ids:
                hidden = None if s == space.n_exits else space.head_widths[s]
                pool = space.sides[s] // space.head_sides(s)[0]
                self.heads[str(s)] = StaticHead(widths[s], hidden, space.n_classes, pool)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu(self.stem(x))
        logits = []
        for s, stage in enumerate(self.stages):
            x = stage(x)
            if s in self.head_ids:
                logits.append(self.heads[str(s)](x))
        return logits

    def fold(self) -> StaticResNet:
        """Fold every batch norm into its convolution, in place; for inference only."""
        self.eval()
        for module in list(self.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, ConvNorm):
                    setattr(module, name, child.fold())
        return self


def extract(
    supernet: ResNetSupernet,
    subnet: Subnet,
    *,
    heads: Sequence[int] | None = None,
    statistics: Statistics | None = None,
) -> StaticResNet:
    """A static copy that computes what `supernet(x, subnet)` computes in eval mode.

    `statistics` are those of `calibrate`; without them the copy has the ones of the largest subnet.
    """
    space = supernet.space
    heads = range(space.n_stages) if heads is None else heads
    net = StaticResNet(space, subnet, heads).eval()
    with torch.no_grad():
        _copy_conv(supernet.stem, supernet.stem_norm, net.stem, statistics)
        for s, stage in enumerate(net.stages):
            for b, block in enumerate(stage.children()):
                assert isinstance(block, StaticBlock)
                source = supernet.stages[s][b]  # type: ignore[index]
                _copy_conv(source.conv1, source.norm1, block.conv1, statistics)
                _copy_conv(source.conv2, source.norm2, block.conv2, statistics)
                if source.project is not None:
                    _copy_conv(source.project, source.project_norm, block.project, statistics)
        for k, head in net.heads.items():
            source = supernet.heads[int(k)]
            if head.conv is not None:
                _copy_conv(source.conv, source.norm, head.conv, statistics)  # type: ignore[arg-type]
            _copy_linear(source.linear, head.linear)  # type: ignore[arg-type]
    return net


def _copy_conv(
    conv: ElasticConv2d,
    norm: ElasticBatchNorm2d,
    target: nn.Module,
    statistics: Statistics | None,
) -> None:
    assert isinstance(target, ConvNorm)
    plain, bn = target.conv, target.norm
    c_out, c_in = plain.weight.shape[:2]
    mean, var = norm.running_mean[:c_out], norm.running_var[:c_out]
    if statistics is not None:
        mean, var = statistics[norm.key]
    plain.weight.copy_(conv.weight[:c_out, :c_in])
    bn.weight.copy_(norm.weight[:c_out])
    bn.bias.copy_(norm.bias[:c_out])
    bn.load_state_dict({"running_mean": mean, "running_var": var}, strict=False)


def _copy_linear(linear: ElasticLinear, target: nn.Linear) -> None:
    target.weight.copy_(linear.weight[:, : target.in_features])
    target.bias.copy_(linear.bias)
