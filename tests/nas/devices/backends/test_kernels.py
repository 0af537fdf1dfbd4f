"""Kernels as a backend: what an exported folder computes, chosen where stages are pruned."""

from __future__ import annotations

import pytest
import torch

from nas.devices import HostDevice, get_device, serving
from nas.devices.backends.kernels import prepare_kernels
from nas.runtime.program import ProgramSession
from predictors import Operator
from search_spaces import InputError, get_space
from supernets import extract, random_supernet

pytest.importorskip("llvmlite")
SPACE = get_space("resnet-digits-blocks4-20.100")
SUBNET = SPACE.subnet([*SPACE.smallest[0][:-4], 100, 20, 20, 100])


@torch.inference_mode()
def test_segments_with_blocks_run_with_kernels_and_answer_as_torch(monkeypatch) -> None:
    ran = []
    own = ProgramSession.run
    monkeypatch.setattr(ProgramSession, "run", lambda s, *a: ran.append(1) or own(s, *a))
    net = extract(random_supernet(SPACE), SUBNET).fold()
    x = torch.randn(2, 1, 8, 8)
    found = prepare_kernels(net, x, "fp32", 1)()
    assert len(ran) == 2
    for a, b in zip(found, net(x), strict=True):
        torch.testing.assert_close(torch.from_numpy(a), b, atol=1e-5, rtol=1e-4)


def test_this_machine_uses_them_where_stages_are_pruned() -> None:
    host = get_device("host", seconds=0.001)
    assert serving(host, get_space("resnet-digits")) is host
    named = get_device("host", backend="onnxruntime")
    assert serving(named, SPACE) is named
    row = serving(host, SPACE).measure(SPACE, SUBNET, [0, 3])
    assert (row["backend"], row["source"]) == ("kernels", "measured")
    assert row["latency_ms"] > 0


def test_operators_alone_have_no_kernels_here() -> None:
    operator = Operator("conv", 8, 8, 3, 8, 8)
    with pytest.raises(InputError, match="`backend` kernels runs whole programs"):
        HostDevice(backend="kernels", seconds=0.001).measure_operator(SPACE, operator)


def test_a_model_has_no_figure_for_pruned_layers() -> None:
    """Its time would be that of fewer MACs, which no kernel reaches."""
    device = get_device("xavier-nx")
    with pytest.raises(InputError, match="has no figure for pruned layers: `nas measure`"):
        device.measure(SPACE, SUBNET, [3])
    dense = SPACE.subnet([*SPACE.smallest[0][:-4], 100, 100, 100, 100])
    assert device.measure(SPACE, dense, [3])["latency_ms"] > 0
