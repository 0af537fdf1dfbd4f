"""Traced networks as ONNX graphs, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nas.onnx.graph import program_model
from nas.onnx.operations import OPERATIONS
from supernets import extract
from supernets.operations import OPERATIONS as KNOWN
from supernets.traced import Operation, Wired, wrap
from tests.supernets.traced.networks import ODD, SIDE, build, images


def run(net: nn.Module, x: Tensor) -> list[Tensor]:
    model = program_model(net, x[:1], half=False)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return [torch.tensor(y) for y in session.run(None, {"input": x.numpy()})]


@pytest.mark.parametrize("name", ODD)
@torch.no_grad()
def test_a_subnet_of_a_traced_network_answers_as_in_torch(name: str) -> None:
    supernet = wrap(build(name), 3, SIDE)
    space = supernet.space
    subnet = space.subnet(space.sample(1, np.random.default_rng(0)))
    net = extract(supernet, subnet).fold()
    for found, wanted in zip(run(net, images(3)), net(images(3)), strict=True):
        scale = float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, atol=1e-5 * scale, rtol=1e-4)


OPTIONS: dict[str, dict[str, Any]] = {
    "leaky_relu": {"slope": 0.2},
    "elu": {"alpha": 0.7},
    "gelu": {"approximate": "tanh"},
    "clamp": {"low": -0.5, "high": 0.8},
    **{kind: {"other": 0.3} for kind in ("add", "sub", "mul", "div")},
    "mean": {"dims": (0, 2), "keepdim": True},
    "amax": {"dims": (1, 2), "keepdim": False},
    "l2": {"dims": (1, 2), "keepdim": True},
    "avg_pool": {
        **{"kernel": 3, "stride": 2, "padding": 1},
        **{"ceil_mode": False, "count_include_pad": True},
    },
    "max_pool": {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": False},
    "concat": {"dim": 1},
    "slice": {"dim": 2, "start": 1, "stop": 4},
    "reshape": {"shape": (2, 2, -1)},
    "permute": {"dims": (1, 2, 0)},
    "pad": {"pads": (1, 2, 0, 1), "value": 0.5},
    "interpolate": {"scale": 2, "mode": "nearest"},
}


@pytest.mark.parametrize("kind", OPERATIONS)
def test_an_operation_answers_as_in_torch(kind: str) -> None:
    net = Wired([Operation(kind, **OPTIONS.get(kind, {}))], [(0,)], 1).eval()
    x = torch.randn(3, 4, 7, 7, generator=torch.Generator().manual_seed(0))
    (found,) = run(net, x)
    torch.testing.assert_close(found, net(x), atol=1e-5, rtol=1e-4)


def test_every_operation_is_written_but_one_that_onnx_lacks() -> None:
    assert set(KNOWN) - set(OPERATIONS) == {"adaptive_avg_pool"}
