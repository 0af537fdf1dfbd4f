"""MobileNetV2 with the layout and names of torchvision's module, which has no CPU build here."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SETTINGS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
MORE = ((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class ConvBNReLU(nn.Sequential):
    def __init__(self, n_in: int, n_out: int, kernel: int = 3, stride: int = 1, groups: int = 1):
        conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(n_out), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int, expand: int) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and n_in == n_out
        hidden = n_in * expand
        layers: list[nn.Module] = [] if expand == 1 else [ConvBNReLU(n_in, hidden, 1)]
        layers += [ConvBNReLU(hidden, hidden, 3, stride, hidden)]
        layers += [nn.Conv2d(hidden, n_out, 1, bias=False), nn.BatchNorm2d(n_out)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.use_res_connect else y


class MobileNetV2(nn.Module):
    """`settings` are expansion, channels, blocks and stride of every stage."""

    def __init__(
        self,
        n_classes: int = 1000,
        settings: tuple[tuple[int, ...], ...] = SETTINGS + MORE,
        channels: int = 3,
        last: int = 1280,
    ) -> None:
        super().__init__()
        n = 32
        features: list[nn.Module] = [ConvBNReLU(channels, n, stride=2)]
        for expand, width, repeats, stride in settings:
            for i in range(repeats):
                features.append(InvertedResidual(n, width, stride if i == 0 else 1, expand))
                n = width
        features.append(ConvBNReLU(n, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        y: Tensor = self.classifier(torch.flatten(x, 1))
        return y


def digits() -> MobileNetV2:
    """The first stages, for images of one channel."""
    torch.manual_seed(0)
    return MobileNetV2(10, ((1, 16, 1, 1), (6, 16, 1, 1)), channels=1, last=64)
