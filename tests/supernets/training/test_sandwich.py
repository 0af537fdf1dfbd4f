"""One training step: which subnets share it, what they learn from, where gradients go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from search_spaces import RatioSpace
from supernets.training import TrainSettings
from supernets.training.sandwich import _drawn, sandwich_step
from tests.supernets.tiny import SPACE, digits, images, supernet

SETTINGS = TrainSettings(n_random=2, bf16=False)
IMAGES, LABELS = images(16), digits().train.labels[:16].long()
LARGEST, SMALLEST = SPACE.subnets(np.concatenate([SPACE.largest, SPACE.smallest]))


def test_the_largest_teaches_and_the_smallest_learns() -> None:
    drawn = _drawn(SPACE, np.random.default_rng(0), SETTINGS, 0.0)
    assert drawn[:2] == [LARGEST, SMALLEST]
    assert len(set(drawn)) == len(drawn) == 4
    alone = _drawn(SPACE, np.random.default_rng(0), replace(SETTINGS, sandwich=False), 0.0)
    assert alone == drawn[2:]


def test_a_space_with_no_more_subnets_than_a_step_draws_is_drawn_whole() -> None:
    space = replace(SPACE, widths=((4, 8), *((w[-1],) for w in SPACE.widths[1:])))
    space = replace(space, depths=space.depths[-1:], expands=space.expands[-1:])
    drawn = [_drawn(space, np.random.default_rng(i), SETTINGS, 0.0) for i in range(9)]
    assert drawn == 9 * [space.subnets(np.concatenate([space.largest, space.smallest]))]


def test_a_space_with_no_more_subnets_than_a_step_has_is_drawn_whole() -> None:
    widths, mids = ([(n,) * parts for n in (2, 4, 6, 8)] for parts in (4, 8))
    space = RatioSpace(SPACE, (100, 300, 500, 1000), tuple(widths), tuple(mids))
    wanted = space.subnets(np.concatenate([space.largest, space.smallest, space.enumerate()[1:-1]]))
    drawn = [_drawn(space, np.random.default_rng(i), SETTINGS, 0.0) for i in range(5)]
    assert drawn == 5 * [wanted]
    some = [
        _drawn(space, np.random.default_rng(i), replace(SETTINGS, n_random=1), 0.0)
        for i in range(9)
    ]
    assert {len(subnets) for subnets in some} == {2, 3}


def test_one_random_subnet_more_comes_late() -> None:
    settings = replace(SETTINGS, epochs=4, late_epochs=1.0)
    drawn = [_drawn(SPACE, np.random.default_rng(0), settings, p) for p in (0, 0.74, 0.75, 0.99)]
    assert [len(subnets) for subnets in drawn] == [4, 4, 5, 5]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_step_answers_with_the_loss_of_the_largest(smoothing: float) -> None:
    net, settings = supernet().train(), replace(SETTINGS, smoothing=smoothing)
    loss = sandwich_step(net, IMAGES, LABELS, np.random.default_rng(0), settings)
    with torch.no_grad():
        wanted = F.cross_entropy(net(IMAGES, LARGEST)[-1], LABELS, label_smoothing=smoothing)
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_students_learn_from_the_teacher_not_from_labels() -> None:
    """With the teacher's answer a student's gradient does not depend on the labels."""
    settings = replace(SETTINGS, n_random=0, exit_weight=0.0, distil="kl")

    def gradient(settings: TrainSettings, labels: torch.Tensor) -> torch.Tensor:
        net = supernet().train()
        F.cross_entropy(net(IMAGES, LARGEST)[-1], labels).backward()
        of_teacher = net.stem.weight.grad.clone()
        net.zero_grad()
        sandwich_step(net, IMAGES, labels, np.random.default_rng(0), settings)
        return net.stem.weight.grad - of_teacher

    labels = [LABELS, LABELS.flip(0)]
    taught = [gradient(settings, y) for y in labels]
    torch.testing.assert_close(*taught, atol=1e-4, rtol=1e-3)
    assert taught[0].abs().max() > 1e-3
    told = [gradient(replace(settings, distil="labels"), y) for y in labels]
    assert not torch.allclose(*told, atol=1e-3)
