"""Networks as users write them, small: what is elastic in them is known by hand."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 16


def conv_norm(c_in: int, c_out: int, kernel: int = 3, **options: int) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class Residual(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.inner = conv_norm(channels, inner)
        self.outer = conv_norm(inner, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.outer(F.relu(self.inner(x)))
        y += x
        return F.relu(y)


class Resnet(nn.Module):
    """Two stages of residual blocks."""

    def __init__(self, n_classes: int = 10, channels: int = 3) -> None:
        super().__init__()
        self.stem = conv_norm(channels, 16)
        self.first = nn.Sequential(Residual(16, 24), Residual(16, 16))
        self.down = conv_norm(16, 32, stride=2)
        self.second = nn.Sequential(Residual(32, 32), Residual(32, 32), Residual(32, 32))
        self.fc = nn.Linear(32, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(F.relu(self.stem(x)))
        x = self.second(F.relu(self.down(x)))
        return self.fc(x.mean((2, 3)))


class Inverted(nn.Module):
    """Expand, depthwise, squeeze-and-excitation, project; grouped convolutions behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.expand, self.depthwise = conv_norm(16, 64, 1), conv_norm(64, 64, groups=64)
        self.squeeze, self.excite = nn.Conv2d(64, 16, 1), nn.Conv2d(16, 64, 1)
        self.project = conv_norm(64, 16, 1)
        self.wide, self.grouped = conv_norm(16, 64, 1), conv_norm(64, 64, groups=16)
        self.act = nn.Hardswish(inplace=True)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 7)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.act(self.depthwise(self.act(self.expand(x))))
        factor = self.excite(F.silu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))).sigmoid()
        x = x + self.project(y * factor)
        return self.head(self.act(self.grouped(self.act(self.wide(x)))))


class Dense(nn.Module):
    """Concatenation, norms in front of convolutions, flattened maps, a hidden linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (16, 32, 48))
        self.convs = nn.ModuleList(nn.Conv2d(n, 16, 3, padding=1) for n in (16, 32, 48))
        self.pool = nn.MaxPool2d(2)
        self.hidden, self.fc = nn.Linear(64 * 16, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(F.gelu(norm(x)))], dim=1)
        x = torch.flatten(self.pool(x), 1)
        return self.fc(F.leaky_relu(self.hidden(x), 0.2))


class Shuffled(nn.Module):
    """Channels split, worked on in part and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.inner, self.outer = conv_norm(16, 24, 1), conv_norm(24, 16, 1)
        self.fc = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).chunk(2, dim=1)
        x = torch.cat([a, self.outer(F.relu6(self.inner(b)))], dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.fc(x.mean([-2, -1]))


class ChannelsLast(nn.Module):
    """Layer norm and linear layers on maps with their channels last, layer scale; as ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.depthwise = nn.Conv2d(24, 24, 7, padding=3, groups=24)
        self.norm = nn.LayerNorm(24, eps=1e-6)
        self.wide, self.narrow = nn.Linear(24, 96), nn.Linear(96, 24)
        self.gamma = nn.Parameter(torch.full((24,), 0.5))
        self.fc = nn.Linear(24, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)
        x = x + y * self.gamma.reshape(1, -1, 1, 1)
        return self.fc(F.hardsigmoid(x).amax((2, 3)) / 2)


ODD = {"inverted": Inverted, "dense": Dense, "shuffled": Shuffled, "channels_last": ChannelsLast}
NETWORKS: dict[str, type[nn.Module]] = {"resnet": Resnet, **ODD}


def timm_without_cuda() -> Any:
    """timm, also where torchvision was built for a GPU that is not here.

    Its operators are then declared, without a kernel: no network of the table calls one.
    """
    try:
        import timm
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [n for n in sys.modules if n.startswith(("torchvision", "timm"))]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        names = ["nms", "qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool"]
        names.append("deform_conv2d")
        backward = [f"_{n}_backward" for n in names[2:]]
        for name in [*names, *backward]:
            library.define(f"{name}(Tensor x) -> Tensor")
        import timm

        timm.torchvision_library = library  # kept: its end would take the operators away
    return timm


def build(name: str) -> nn.Module:
    """With random weights, and scales, shifts and statistics that are not the trivial ones."""
    torch.manual_seed(0)
    net = NETWORKS[name]().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def images(n: int = 2, side: int = SIDE, seed: int = 1) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))
