"""ResNet50: exits at their stages, logits at every resolution, as many weights as operators."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from search_spaces import ResNet50Space
from supernets import build_supernet, extract

SPACE = dataclasses.replace(ResNet50Space(n_classes=7, resolutions=(64, 96)), exits=(1,))
torch.manual_seed(0)
SUPERNET = build_supernet(SPACE).eval()
ROWS = np.concatenate([SPACE.largest, SPACE.smallest, SPACE.sample(1, np.random.default_rng(0))])


def test_every_exit_answers_at_the_resolution_of_the_subnet() -> None:
    for subnet in SPACE.subnets(ROWS):
        with torch.no_grad():
            logits = SUPERNET(torch.randn(2, *SPACE.input_shape(subnet)), subnet)
        assert [x.shape for x in logits] == [(2, 7)] * 2
        assert all(x.isfinite().all() for x in logits)


def test_operators_count_the_weights_of_the_copy() -> None:
    for row, subnet in zip(ROWS, SPACE.subnets(ROWS), strict=True):
        kinds = torch.nn.Conv2d | torch.nn.Linear
        layers = [m for m in extract(SUPERNET, subnet).modules() if isinstance(m, kinds)]
        operators = SPACE.operators(row[None], np.ones((1, 2), dtype=bool))
        assert operators.params.sum() == sum(m.weight.numel() for m in layers)
