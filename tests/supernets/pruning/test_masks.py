"""Blocks while a network is trained: the schedule, what is remembered, ADMM's pull."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import InputError
from supernets.pruning import block_mask
from supernets.pruning.masks import BlockPruner, PruneSettings


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 13, 3), nn.Conv2d(13, 8, 1))


def shares(net: nn.Module) -> list[float]:
    return [float((net.get_submodule(n).weight == 0).float().mean()) for n in ("2", "3")]


def test_sparsity_rises_by_the_cubic_law_to_what_was_asked() -> None:
    net, n_steps = network(), 20
    pruner = BlockPruner(net, PruneSettings(sparsity=0.8, updates=4, pruning_share=0.5), n_steps)
    found = []
    for step in range(n_steps):
        pruner.before_step(step)
        net[2].weight.data += 1e-3  # an optimiser's step
        pruner.after_step()
        found.append(shares(net)[0])
    wanted = [0.8 * (1 - (1 - k / 4) ** 3) for k in (1, 2, 3, 4)]
    assert found[0:10:3] == pytest.approx([wanted[0], wanted[1], wanted[2], wanted[3]], abs=0.02)
    assert found[10:] == [found[9]] * 10
    assert shares(net)[1] == pytest.approx(0.8, abs=0.04)
    assert not (net[0].weight == 0).any()  # what reads the image stays whole
    mask = block_mask(pruner.starts["2"], 4)
    assert np.array_equal(mask, net[2].weight.detach().numpy().reshape(13, -1) != 0)


def test_a_weight_that_was_put_to_zero_can_come_back() -> None:
    net = network()
    pruner = BlockPruner(net, PruneSettings(updates=2, sparsity=0.5), 10)
    pruner.before_step(0)
    whole = pruner._memory["2"].clone()
    gone = net[2].weight == 0
    net[2].weight.data *= 1e-6  # what was kept is worth less now than what was not
    pruner.before_step(2)
    back = gone & (net[2].weight != 0)
    assert back.any()
    assert torch.equal(net[2].weight[back], whole[back])


def test_admm_pulls_weights_towards_their_blocks() -> None:
    net = network()
    settings = PruneSettings(schedule="admm", rho=1.0, updates=8, pruning_share=0.8, sparsity=0.5)
    pruner = BlockPruner(net, settings, 80)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    outside = []
    for step in range(80):
        pruner.before_step(step)
        optimizer.zero_grad()
        (pruner.penalty() + 0 * net[3].weight.sum()).backward()
        optimizer.step()
        pruner.after_step()
        if step in (0, 55):
            mask = torch.from_numpy(pruner._targets["2"].numpy() != 0)
            outside.append(float(net[2].weight.detach()[~mask].abs().sum()))
    assert outside[1] < 0.1 * outside[0]
    assert shares(net)[0] == pytest.approx(0.5, abs=0.02)
    assert pruner.penalty() == 0


@pytest.mark.parametrize(("method", "block"), [("unstructured", 1), ("bed", 4), ("aligned", 4)])
def test_every_method_has_blocks_of_its_own(method, block) -> None:
    net = network()
    BlockPruner(net, PruneSettings(method=method, updates=1, sparsity=0.75), 10).before_step(0)
    kept = (net[3].weight != 0).reshape(8, -1).T  # columns
    runs = [len(r) for c in kept.tolist() for r in "".join("01"[v] for v in c).split("0") if r]
    assert all(n % block == 0 for n in runs)
    assert sum(runs) == 13 * 8 * 0.25 // block * block


def test_bad_settings_are_one_line() -> None:
    with pytest.raises(InputError, match="`method` must be one of exact"):
        PruneSettings(method="magic")
    with pytest.raises(InputError, match="`schedule` must be gradual or admm, got 'now'"):
        PruneSettings(schedule="now")
    with pytest.raises(InputError, match="`updates` must be positive, got 0"):
        PruneSettings(updates=0)
    with pytest.raises(InputError, match="Linear has no convolution of one group with 4"):
        BlockPruner(nn.Linear(2, 2), PruneSettings(), 10)
    with pytest.raises(InputError, match="0: no convolution of Sequential"):
        BlockPruner(nn.Sequential(nn.ReLU()), PruneSettings(), 10, ["0"])
