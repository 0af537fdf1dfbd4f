"""The first groups of a network: equal to static copies, blind to the groups behind them."""

from __future__ import annotations

import copy
from pathlib import Path

import onnxruntime
import pytest
import torch

from nas.onnx.graph import program_model
from search_spaces import GroupSpace, Subnet
from supernets import (
    calibrate,
    calibrate_all,
    extract,
    load_supernet,
    save_supernet,
    write_tensors,
)
from supernets.grouped import GroupedSupernet
from supernets.layers import norms

SPACES = [GroupSpace.of("alexnet", 4, 8, 1), GroupSpace.of("resnet", 4, 8, 1)]


def grouped(space: object, seed: int = 0) -> GroupedSupernet:
    torch.manual_seed(seed)
    net = GroupedSupernet(space).eval()  # type: ignore[arg-type]
    for _, layer in net.norms():
        torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
        torch.nn.init.normal_(layer.running_mean, std=0.2)
    for head in net.heads:
        torch.nn.init.normal_(head.linear.weight, std=0.3)
    return net


NETS = [grouped(space) for space in SPACES]
IMAGES = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def first(net: GroupedSupernet, n: int) -> Subnet:
    return net.space.subnet([n])


@pytest.mark.parametrize("net", NETS, ids=["alexnet", "resnet"])
@torch.no_grad()
def test_extracted_groups_compute_what_the_supernet_computes(net: GroupedSupernet) -> None:
    for n in (1, 3, 4):
        wanted = net(IMAGES, first(net, n))
        found = extract(net, first(net, n)).fold()(IMAGES)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("net", NETS, ids=["alexnet", "resnet"])
def test_statistics_of_the_first_groups_are_the_first_of_all(net: GroupedSupernet) -> None:
    """To the bit, so that an export holds them once; and they are those of the groups alone."""
    asked = [first(net, n) for n in (1, 3, 4)]
    found = dict(calibrate_all(net, asked, IMAGES))
    for subnet in asked:
        for key, statistics in calibrate(net, subnet, IMAGES).items():
            for one, other, whole in zip(
                statistics, found[subnet][key], found[asked[-1]][key], strict=True
            ):
                assert torch.equal(one, other)
                assert torch.equal(one, whole[: len(one)])
    keys = dict(norms([x for _, *parts in net.program(asked[0]) for part in parts for x in part]))
    assert {key: len(mean) for key, (mean, _) in found[asked[0]].items()} == keys
    small = GroupedSupernet(net.space.first(1)).eval()
    wide = net.state_dict()
    cut = {k: wide[k][tuple(map(slice, v.shape))] for k, v in small.state_dict().items()}
    small.load_state_dict(cut)
    alone = calibrate(small, first(small, 1), IMAGES)
    for key, pair in alone.items():
        torch.testing.assert_close(pair, found[asked[0]][key], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_onnx_runtime_computes_the_same() -> None:
    net = extract(NETS[0], first(NETS[0], 3)).fold()
    model = program_model(net, IMAGES[:1], half=False)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: IMAGES.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), net(IMAGES)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("net", NETS, ids=["alexnet", "resnet"])
def test_logits_of_the_first_groups_have_no_gradient_behind_them(net: GroupedSupernet) -> None:
    """Every gradient of the last group is zero while it is not asked, and none stays zero then."""
    own = copy.deepcopy(net).train()
    for n, silent in ((3, True), (4, False)):
        own.zero_grad()
        sum(x.square().sum() for x in own(IMAGES, first(own, n))).backward()
        for name, parameter in own.named_parameters():
            if not name.endswith("linear.bias"):
                dim = 1 if name.endswith("linear.weight") else 0
                behind = parameter.grad.chunk(4, dim)[3]
                assert bool((behind == 0).all()) is silent, name


@torch.no_grad()
def test_groups_that_come_back_answer_as_before() -> None:
    net = NETS[1]
    before = [net(IMAGES, first(net, n)) for n in (1, 2, 3, 4)]
    for n in (4, 1, 3, 4, 2):
        for a, b in zip(net(IMAGES, first(net, n)), before[n - 1], strict=True):
            assert torch.equal(a, b)


def test_the_file_of_all_configurations_is_that_of_the_largest(tmp_path: Path) -> None:
    net = grouped(GroupSpace.of("alexnet", 4))
    save_supernet(net, tmp_path / "all", half=True)
    largest = extract(net, first(net, 4)).state_dict()
    write_tensors(tmp_path / "largest", {k: v.half() for k, v in largest.items()}, {})
    sizes = [(tmp_path / name).stat().st_size for name in ("all", "largest")]
    assert sizes[0] <= 1.01 * sizes[1]
    assert load_supernet(tmp_path / "all")[0].kind == "groups"
