"""Small once-for-all networks for tests: narrow, for small images, with exits."""

from __future__ import annotations

import torch

from search_spaces import MobileNetV3Space, ResNet50Space, Space
from supernets import Supernet, build_supernet

SIDES = (32, 44, 56)  # odd maps inside for 44
MOBILE = MobileNetV3Space(
    width_mult=0.25, n_classes=10, resolutions=SIDES, exits=(0, 3), head_width=24
)
RESNET = ResNet50Space(
    width_mults=(0.1, 0.12, 0.15), n_classes=10, resolutions=SIDES, exits=(1, 2), head_width=24
)


def supernet(space: Space) -> Supernet:
    """Random weights; norms, statistics and kernel transforms that are not the trivial ones."""
    torch.manual_seed(0)
    net = build_supernet(space).eval()
    for _, layer in net.norms():
        torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
        torch.nn.init.normal_(layer.bias, std=0.2)
        torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
        torch.nn.init.normal_(layer.running_mean, std=0.2)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".transforms." in name:
                parameter += 0.1 * torch.randn_like(parameter)
    return net
