"""Smaller images in the first epochs: for how long, what subnets see, what cannot run on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search_spaces import InputError
from supernets.traced import wrap
from supernets.training import TrainSettings, sandwich_step, train
from supernets.training.small_images import side_share
from tests.supernets.tiny import SPACE, digits, images, supernet
from tests.supernets.training.test_loop import SETTINGS, small_digits


def test_the_first_epochs_are_small() -> None:
    settings = TrainSettings(epochs=20, small_epochs=8)
    assert [side_share(settings, step / 20) for step in (0, 7.9, 8, 19)] == [0.75, 0.75, 1, 1]
    assert side_share(TrainSettings(), 0.0) == 1


def test_a_step_sees_three_quarters_of_the_side() -> None:
    net, labels = supernet().train(), digits().train.labels[:48]
    loss = sandwich_step(net, images(), labels, np.random.default_rng(0), SETTINGS)
    small = F.interpolate(images(), (6, 6), mode="bilinear", antialias=True)
    with torch.no_grad():
        logits = net(small, SPACE.subnet(SPACE.largest))
    assert loss == pytest.approx(float(F.cross_entropy(logits[-1], labels)), rel=1e-5)


def test_a_network_that_takes_one_side_alone_is_refused(tmp_path: Path) -> None:
    """Every pixel has weights of its own in the last layer."""
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))
    fixed = wrap(net, 1, 8, name="fixed", exits=())
    with pytest.raises(InputError, match=r"`small_epochs` .* 6 pixels first, on which fixed"):
        next(train(fixed, small_digits(), SETTINGS, tmp_path))
    next(train(fixed, small_digits(), replace(SETTINGS, small_epochs=0), tmp_path))
