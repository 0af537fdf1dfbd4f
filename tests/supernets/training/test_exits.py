"""Exits that are trained on a trunk that stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces import GroupSpace, InputError
from supernets import load_supernet
from supernets.catalog import random_supernet
from supernets.training import train
from supernets.training.exits import train_exits_only
from tests.supernets.tiny import SPACE, images, supernet
from tests.supernets.training.test_loop import SETTINGS, small_digits


def test_exits_learn_and_the_last_exit_keeps_every_bit(tmp_path: Path) -> None:
    first, second = tmp_path / "trunk", tmp_path / "tuned"
    for _ in train(supernet(), small_digits(), replace(SETTINGS, exit_weight=0.0), first):
        pass
    before, _ = load_supernet(first / "weights.safetensors")
    start, _ = load_supernet(first / "weights.safetensors")
    settings = replace(SETTINGS, exits_only=True, epochs=12, exit_weight=1.0, ema_decay=0.0)
    losses = [p.loss for p in train(start, small_digits(), settings, second)]
    assert losses
    after, _ = load_supernet(second / "weights.safetensors")
    for genes in np.concatenate([SPACE.largest, SPACE.smallest]):
        subnet = SPACE.subnet(genes)
        with torch.no_grad():
            old, new = before(images(), subnet), after(images(), subnet)
        assert torch.equal(old[-1], new[-1])
        assert not any(torch.equal(a, b) for a, b in zip(old[:-1], new[:-1], strict=True))
    with torch.no_grad():
        data = small_digits()
        x, y = data.normalise(data.validation.images), data.validation.labels
        largest = SPACE.subnet(SPACE.largest)
        losses = [
            sum(float(F.cross_entropy(out, y)) for out in net(x, largest)[:-1])
            for net in (before, after)
        ]
    assert losses[1] < 0.9 * losses[0]


def test_without_an_early_exit_there_is_nothing_to_train() -> None:
    net = random_supernet(GroupSpace.of("alexnet", 1, 8, 1))
    with pytest.raises(InputError, match="`exits_only`: alexnet-g1-8x8x1-10 has no early exit"):
        train_exits_only(net)
