"""Our networks against the public `ofa` package: same checkpoint, same subnet, same logits.

Runs where `ofa` is installed (`pip install --no-deps ofa`); its networks need torch alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.ofa_package import ofa_networks
from search_spaces import OnceForAllSpace, Subnet, get_space
from supernets import Supernet, load_ofa, to_ofa_state_dict

pytest.importorskip("ofa", reason="the public ofa package is not installed")

N_SUBNETS = 60  # per checkpoint
GENERATOR = torch.Generator().manual_seed(0)


def mobilenet(width_mult: float) -> nn.Module:
    return ofa_networks().OFAMobileNetV3(
        dropout_rate=0,
        width_mult=width_mult,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )


def proxyless() -> nn.Module:
    return ofa_networks().OFAProxylessNASNets(
        dropout_rate=0,
        width_mult=1.3,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )


def resnet50() -> nn.Module:
    return ofa_networks().OFAResNets(
        dropout_rate=0,
        depth_list=[0, 1, 2],
        expand_ratio_list=[0.2, 0.25, 0.35],
        width_mult_list=[0.65, 0.8, 1.0],
    )


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "ofa-mobilenetv3": lambda: mobilenet(1.0),
    "ofa-mobilenetv3-w1.2": lambda: mobilenet(1.2),
    "ofa-proxyless-w1.3": proxyless,
    "ofa-resnet50": resnet50,
}


@torch.no_grad()
def randomised(net: nn.Module) -> nn.Module:
    """Random weights, matrices, norms and statistics, each of which matters to the logits.

    Statistics lie around those of the random weights: logits of unit size can be compared.
    """
    torch.manual_seed(0)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.2)
        norm.momentum = 1.0  # the statistics of the one batch below
    for name, parameter in net.named_parameters():
        if name.endswith("_matrix"):
            parameter.add_(torch.randn_like(parameter), alpha=0.3 / len(parameter) ** 0.5)
        elif name.endswith(("conv3.bn.bn.weight", "point_linear.bn.bn.weight")):
            parameter *= 0.3  # blocks end small, as trained ones do, or rounding errors grow
    net.train()(torch.randn(8, 3, 128, 128))
    for norm in norms:
        norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.5)
    return net.eval()


@pytest.fixture(scope="module", params=list(BUILDERS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """OFA's network and ours from the file that it saved."""
    theirs = randomised(BUILDERS[request.param]())
    path: Path = tmp_path_factory.mktemp("ofa") / request.param
    torch.save({"state_dict": theirs.state_dict()}, path)
    ours = load_ofa(path)
    assert ours.space == get_space(request.param)
    return theirs, ours


def chosen(space: OnceForAllSpace) -> np.ndarray:
    """Subnets of all sizes, most of them at small resolutions to save time."""
    rng = np.random.default_rng(0)
    genes = np.concatenate(
        [space.sample_spread(N_SUBNETS // 2, rng), space.sample(N_SUBNETS // 2, rng)]
    )
    resolution = rng.choice([r for r in space.resolutions if r <= 144], len(genes))
    genes[2:, -1] = np.where(np.arange(2, len(genes)) % 6, resolution[2:], genes[2:, -1])
    used = [set(space.full(genes)[:, i]) for i in range(len(space.choices) - 1)]
    assert used == [set(choices) for choices in space.choices[:-1]]  # every choice of every gene
    return genes


def worst_difference(theirs: nn.Module, ours: Supernet, subnets: list[Subnet]) -> float:
    """The largest difference of two logits, in standard deviations of the logits."""
    worst, space = 0.0, ours.space
    assert isinstance(space, OnceForAllSpace)
    dtype = next(ours.parameters()).dtype
    for subnet in subnets:
        x = torch.randn(1, *space.input_shape(subnet), generator=GENERATOR).to(dtype)
        theirs.set_active_subnet(**space.to_ofa(subnet))
        wanted: Tensor = theirs(x)
        worst = max(worst, float((ours(x, subnet)[-1] - wanted).abs().max() / wanted.std()))
    return worst


@torch.inference_mode()
def test_logits_agree(pair: tuple[nn.Module, Supernet], capsys: pytest.CaptureFixture) -> None:
    """In fp32 up to rounding; in fp64, where rounding is smaller, the same function."""
    theirs, ours = pair
    assert isinstance(ours.space, OnceForAllSpace)
    subnets = ours.space.subnets(chosen(ours.space))
    fp32 = worst_difference(theirs, ours, subnets)
    doubled = (copy.deepcopy(net).double() for net in pair)
    fp64 = worst_difference(*doubled, subnets[2::6])
    with capsys.disabled():
        print(f"\n{ours.space.name}: max |difference| / std {fp32:.1e} in fp32, {fp64:.1e} in fp64")
    assert fp32 < 1e-5
    assert fp64 < 1e-13


def test_ofa_loads_what_we_export(pair: tuple[nn.Module, Supernet]) -> None:
    theirs, ours = pair
    exported = to_ofa_state_dict(ours)
    state = theirs.state_dict()
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    assert set(exported) == set(state) - counters
    assert all(torch.equal(value, state[key]) for key, value in exported.items())


@torch.inference_mode()
def test_configurations_that_ofa_samples_are_read(pair: tuple[nn.Module, Supernet]) -> None:
    theirs, ours = pair
    space = ours.space
    assert isinstance(space, OnceForAllSpace)
    for seed in range(3):
        config = theirs.sample_active_subnet()
        x = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(seed))
        wanted = theirs(x)
        found = ours(x, space.from_ofa({**config, "image_size": 128}))[-1]
        torch.testing.assert_close(found / wanted.std(), wanted / wanted.std(), atol=1e-5, rtol=0)
