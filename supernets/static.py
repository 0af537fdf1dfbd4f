"""Plain networks of fixed size: chains of segments that end at an exit each.

Their layers are `torch.nn` ones, so that they are timed, exported and fine-tuned like any network.
`supernets.layers.static` makes them from a subnet's layers, with copies of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvNorm(nn.Sequential):
    """Convolution and batch norm; `fold` turns them into one convolution with a bias."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm

    def fold(self) -> nn.Conv2d:
        return fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())


class Residual(nn.Module):
    """`body(x) + shortcut(x)`; the shortcut is the identity where it has no layers."""

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


class Wired(nn.Module):
    """Layers that read values by number: 0 is what enters, i what layer i - 1 made."""

    def __init__(
        self, layers: Sequence[nn.Module], inputs: Sequence[tuple[int, ...]], output: int
    ) -> None:
        super().__init__()
        self.layers, self.inputs, self.output = nn.ModuleList(layers), list(inputs), output

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for layer, inputs in zip(self.layers, self.inputs, strict=True):
            values.append(layer(*(values[i] for i in inputs)))
        return values[self.output]


class PoolTo(nn.Module):
    """Average pooling of maps larger than `side` to about `side`, as early exits have it."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        factor = x.shape[-1] // self.side
        return F.avg_pool2d(x, factor) if factor > 1 else x


class GlobalMean(nn.Module):
    """Map (N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class Segment(nn.Module):
    """The trunk from the exit before to this one, and the exit's head."""

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map the features behind the exit before to those behind this exit, and its logits."""
        x = self.trunk(x)
        return x, self.head(x)


Net = TypeVar("Net", bound=nn.Module)


def channels_last(net: Net) -> Net:
    """`net` itself with its 4-D weights in channels-last memory."""
    moved: Net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


class StaticNet(nn.Module):
    """The program of the exits `head_ids`, from the image to the deepest of them.

    Segment i maps the features behind exit `head_ids[i - 1]` (the image for i = 0) to those behind
    `head_ids[i]` and its logits, so that a caller can stop after any of them.
    """

    def __init__(
        self, segments: Sequence[Segment], head_ids: Sequence[int], block_rows: int = 0
    ) -> None:
        super().__init__()
        self.block_rows = block_rows  # of the blocks that its weights are pruned in; 0: dense
        self.segments = nn.ModuleList(segments)
        self.head_ids = list(head_ids)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (N, C, H, H) to the logits (N, classes) of every exit."""
        logits = []
        for segment in self.segments:
            x, answer = cast(Segment, segment)(x)
            logits.append(answer)
        return logits

    def fold(self) -> StaticNet:
        """Fold every batch norm into its convolution, in place; for inference only."""
        self.eval()
        for module in list(self.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, ConvNorm):
                    setattr(module, name, child.fold())
        # Folding lays weights out anew; channels last is a tenth to a fifth faster at batch 1.
        return channels_last(self)

    @property
    def n_bytes(self) -> int:
        """Memory of weights and statistics."""
        tensors = (*self.parameters(), *self.buffers())
        return sum(t.numel() * t.element_size() for t in tensors)


class Stored(nn.Module):
    """`x + value` or `x * value` with a stored tensor: a residual addition, a channel's scale."""

    def __init__(self, kind: str, value: Tensor) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("value", value)

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.value  # type: ignore[assignment]
        return x + value if self.kind == "add" else x * value
