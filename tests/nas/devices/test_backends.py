"""Backends really run what they are given, and the graphs they run compute the network."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nas
from nas.devices import HostDevice
from nas.devices.backends import BACKENDS
from nas.onnx.graph import program_model
from predictors import Operator
from search_spaces import InputError, Space, get_space
from supernets import build_supernet, extract
from tests.supernets.once_for_all import MOBILE, RESNET

DIGITS = get_space("resnet-digits")
SPACES: dict[str, Space] = {
    "digits": DIGITS,
    "cifar": get_space("resnet-cifar"),
    "mobilenetv3": MOBILE,
    "resnet50": RESNET,
}


SUPERNETS = {name: build_supernet(space).eval() for name, space in SPACES.items()}


def answers(model: onnx.ModelProto, x: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x.numpy()})


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1), early=st.booleans(), n=st.integers(1, 3))
def test_a_program_is_one_graph_with_the_logits_of_its_exits(
    name: str, seed: int, early: bool, n: int
) -> None:
    space = SPACES[name]
    subnet = space.subnet(space.sample(1, np.random.default_rng(seed)))
    net = extract(SUPERNETS[name], subnet, heads=[0] * early + [space.n_exits]).fold()
    x = torch.randn(n, *space.input_shape(subnet))
    with torch.inference_mode():
        wanted = net(x)
    found = answers(program_model(net, x[:1], half=False), x)
    assert len(found) == len(wanted) == 1 + early
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-4 * max(1, float(b.abs().max())))


@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        ("pytorch", "fp32"),
        ("onnxruntime", "fp32"),
        ("onnxruntime", "fp16"),
        ("onnxruntime", "int8"),
    ],
)
def test_a_backend_measures_programs_and_operators(backend: str, precision: str) -> None:
    device = HostDevice(backend=backend, precision=precision, seconds=0.01)
    threads = torch.get_num_threads()
    largest = device.measure(DIGITS, DIGITS.subnet(DIGITS.largest), (0, 1, 2, 3))
    alone = device.measure_operator(DIGITS, Operator("conv", 8, 16, 3, 8, 4))
    assert torch.get_num_threads() == threads
    for row in (largest, alone):
        assert (row["backend"], row["precision"], row["batch"]) == (backend, precision, 1)
        assert row["calibration"] == ("random" if precision == "int8" else None)
        assert (row["source"], row["threads"]) == ("measured", 1)
        assert row["n_runs"] >= 100
        order = [row[f"latency_{p}ms"] for p in ("", "p90_", "p95_", "p99_")]
        assert order == sorted(order)
    assert 0 < alone["latency_ms"] < largest["latency_ms"]


def test_a_batch_is_timed_as_a_whole() -> None:
    subnet = DIGITS.subnet(DIGITS.largest)
    one, many = (
        HostDevice(backend="onnxruntime", batch=n, seconds=0.01).measure(DIGITS, subnet, (3,))
        for n in (1, 32)
    )
    assert many["batch"] == 32
    assert many["latency_ms"] > 3 * one["latency_ms"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"backend": "tflite"}, "unknown backend 'tflite'; host has pytorch, pytorch-compiled, "),
        ({"precision": "int8"}, "unknown precision 'int8'; pytorch has fp32, fp16"),
        ({"batch": 0}, "`batch` must be at least 1, got 0"),
        ({"threads": -1}, "`threads` must be at least 1, got -1"),
        ({"seconds": float("nan")}, "`seconds` must be a positive number, got nan"),
    ],
)
def test_what_the_host_does_not_do(asked: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        HostDevice(**asked)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in {"nas.export", "nas.onnx"} & set(sys.modules):  # put back at the end
        monkeypatch.setattr(nas, package[4:], sys.modules[package])
    for name in [m for m in sys.modules if m.startswith(("nas.export", "nas.onnx"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        InputError, match=rf"{missing} is not installed: pip install 'nas\[export\]"
    ):
        HostDevice(backend="onnxruntime").measure(DIGITS, DIGITS.subnet(DIGITS.smallest), (0,))


@pytest.mark.slow
def test_compiled_networks_are_not_the_eager_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """More networks than PyTorch keeps traces of: the last one is still compiled."""
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    device = HostDevice(backend="pytorch-compiled", seconds=0.01)
    for subnet in DIGITS.subnets(DIGITS.sample(4, np.random.default_rng(0))):
        torch._dynamo.utils.counters.clear()
        assert device.measure(DIGITS, subnet, (0,))["latency_ms"] > 0
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_every_backend_has_fp32() -> None:
    assert all("fp32" in backend.precisions for backend in BACKENDS.values())
