"""MobileNetV1 (arXiv:1704.04861) for 224-pixel images and, narrower, for 32-pixel ones."""

from __future__ import annotations

from torch import nn

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5)
LAST = ((1024, 2), (1024, 1))
SMALL = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
"""For CIFAR-10; its first layers keep the 32 pixels."""


def conv_norm_relu(c_in: int, c_out: int, taps: int, stride: int, groups: int) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, taps, stride, taps // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out), nn.ReLU()]


def mobilenet(classes: int = 1000, *, small: bool = False) -> nn.Sequential:
    """Depthwise 3x3 and pointwise convolutions in turn, a mean over the pixels, a classifier."""
    channels = 32
    layers = conv_norm_relu(3, channels, 3, 1 if small else 2, 1)
    for c_out, stride in SMALL if small else BLOCKS + LAST:
        layers += conv_norm_relu(channels, channels, 3, stride, channels)
        layers += conv_norm_relu(channels, c_out, 1, 1, 1)
        channels = c_out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )
