"""Muon moves convolutions, Nesterov SGD everything else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from supernets import Supernet
from supernets.training import TrainSettings
from supernets.training.optimizer import SupernetOptimizer
from tests.supernets.tiny import SPACE, images, supernet
from tests.supernets.training.test_loop import SETTINGS


def stepped(settings: TrainSettings) -> tuple[Supernet, dict[str, Tensor]]:
    """A supernet after one step on the sum of its logits, and what it was."""
    net = supernet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = {k: v.detach().clone() for k, v in net.named_parameters()}
    optimizer = SupernetOptimizer(net, settings)
    torch.stack(net(images(), SPACE.subnet(SPACE.largest))).square().sum().backward()
    optimizer.step(1.0)
    return net, before


def test_muon_moves_a_convolution_by_an_orthogonal_matrix() -> None:
    settings = replace(SETTINGS, muon_lr=0.1, muon_decay=0.0)
    net, before = stepped(settings)
    name = "stages.2.1.conv2.weight"
    moved = (dict(net.named_parameters())[name].detach() - before[name]).flatten(1) / 0.1
    singular = torch.linalg.svdvals(moved)
    assert singular.max() < 1.3  # five Newton-Schulz steps end between about 0.7 and 1.2
    assert singular.median() > 0.6


def test_sgd_moves_everything_else() -> None:
    settings = replace(SETTINGS, muon_lr=0.1, weight_decay=0.0)
    net, before = stepped(settings)
    for name, parameter in net.named_parameters():
        if parameter.ndim != 4:
            assert parameter.grad is not None
            wanted = before[name] - settings.lr * (1 + settings.momentum) * parameter.grad
            torch.testing.assert_close(parameter.detach(), wanted)


@pytest.mark.parametrize("momentum", [SETTINGS.momentum, 0.0])
def test_without_muon_it_is_torch_sgd(momentum: float) -> None:
    settings = replace(SETTINGS, muon_lr=0.0, weight_decay=0.0, momentum=momentum)
    net, before = stepped(settings)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        wanted = before[name] - settings.lr * (1 + settings.momentum) * parameter.grad
        torch.testing.assert_close(parameter.detach(), wanted)
