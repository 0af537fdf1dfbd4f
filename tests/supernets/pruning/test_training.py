"""Training while pruning: it learns, and a run that was stopped ends in the same weights."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import nn

from search_spaces import InputError
from supernets.pruning.masks import PruneSettings
from supernets.pruning.training import STATE, PruningRun, last_logits, top1
from tests.supernets.training.test_loop import small_digits

SETTINGS = PruneSettings(sparsity=0.6, epochs=3, updates=3, batch_size=16, lr=0.1, bf16=False)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1)]
    head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 10)]
    return nn.Sequential(*body, nn.ReLU(), *head)


@pytest.mark.parametrize("schedule", ["gradual", "admm"])
def test_a_stopped_run_ends_in_the_same_weights(schedule, tmp_path) -> None:
    data, settings = small_digits(256), replace(SETTINGS, schedule=schedule)
    whole = network()
    run = PruningRun(whole, data, settings, tmp_path / "whole")
    losses = [p.loss for p in run.run()]
    assert min(losses[-5:]) < 0.9 * losses[0]
    stopped = PruningRun(network(), data, settings, tmp_path / "parts")
    for progress in stopped.run():
        if progress.epoch == 1 and progress.step == stopped.per_epoch + 2:
            break  # in the second epoch, which a rerun does again
    net = network()
    again = PruningRun(net, data, settings, tmp_path / "parts")
    assert again.epochs_done == 1
    list(again.run())
    for name, value in whole.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), name
    assert float((net[3].weight == 0).float().mean()) == pytest.approx(0.6, abs=0.01)
    assert top1(net, data.test, data) > 10
    assert len(again.pruner.seconds) == len(again.pruner._steps)
    with pytest.raises(InputError, match="holds a run with another g; go on with the same"):
        PruningRun(network(), data, replace(settings, g=8), tmp_path / "parts")
    with pytest.raises(InputError, match="holds a run of another network, or of other"):
        PruningRun(nn.Sequential(nn.Conv2d(8, 8, 1)), data, settings, tmp_path / "parts")
    with pytest.raises(InputError, match="holds a run of another network, or of other weights"):
        PruningRun(whole, data, settings, tmp_path / "parts")
    (tmp_path / "parts" / STATE).write_bytes(b"cut")
    with pytest.raises(InputError, match="no readable safetensors file"):
        PruningRun(network(), data, settings, tmp_path / "parts")


class Auxiliary(nn.Module):
    class Answers(NamedTuple):
        logits: torch.Tensor
        auxiliary: torch.Tensor

    def forward(self, x):
        return self.Answers(x, -x) if self.training else x


def test_answers_that_exist_in_training_alone_are_not_the_networks() -> None:
    net, x = Auxiliary(), torch.ones(2, 3)
    assert torch.equal(last_logits(net.train(), x), last_logits(net.eval(), x))


def test_more_in_a_batch_than_images_is_refused(tmp_path) -> None:
    data = small_digits(256)
    with pytest.raises(InputError, match=r"`batch_size` 100000 exceeds the \d+ training images"):
        PruningRun(network(), data, replace(SETTINGS, batch_size=100_000), tmp_path)
