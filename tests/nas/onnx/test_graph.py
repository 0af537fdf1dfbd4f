"""Segments as ONNX graphs answer as the network does."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.onnx.graph import OPSET, program_model, segment_model
from search_spaces import InputError, Space, resnet_cifar, resnet_digits
from supernets import Supernet, extract
from tests.supernets.once_for_all import MOBILE, RESNET, supernet

SPACES: dict[str, Space] = {
    "digits": resnet_digits(),
    "cifar": resnet_cifar(),
    "mobilenetv3": MOBILE,
    "resnet50": RESNET,
}


@cache
def network(name: str) -> Supernet:
    return supernet(SPACES[name])


def outputs(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x})


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), early=st.integers(0, 1), n=st.integers(1, 3))
def test_segments_compute_what_the_network_computes(
    name: str, half: bool, seed: int, early: int, n: int
) -> None:
    """Any family, subnet, exits and batch size; the graphs have no `If` and read as opset 13."""
    net = network(name)
    subnet = net.space.subnet(net.space.sample(1, np.random.default_rng(seed)))
    static = extract(net, subnet, heads=[early, net.space.n_exits]).fold()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *net.space.input_shape(subnet), generator=generator)
    with torch.inference_mode():
        wanted = static(x)
    value, features = torch.zeros(1, *x.shape[1:]), x.numpy()
    for i, segment in enumerate(static.segments):
        last = i == len(static.segments) - 1
        model, value = segment_model(segment, value, last=last, half=half)
        assert not {node.op_type for node in model.graph.node} & {"If", "BatchNormalization"}
        assert [o.version for o in model.opset_import] == [OPSET]
        *rest, logits = outputs(model, features)
        scale = max(1.0, float(wanted[i].abs().max()))
        assert np.abs(logits - wanted[i].numpy()).max() < (5e-2 if half else 1e-4) * scale
        assert logits.dtype == np.float32
        assert len(rest) == (not last)
        features = rest[0] if rest else features


@pytest.mark.filterwarnings("ignore:Using padding")  # of an even kernel: torch copies
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, (3, 4), padding="same", dilation=(2, 1)),
        nn.Conv2d(3, 4, 3, padding="valid", stride=2),
        nn.MaxPool2d((2, 3), padding=(0, 1)),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(3, 1, dilation=2),
        nn.AvgPool2d((2, 3)),
        nn.AvgPool2d(3, 2, padding=1),
        nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    ],
    ids=str,
)
def test_layers_of_a_network_of_ones_own_are_as_torch_has_them(layer: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 14, 15)
    (found,) = outputs(program_model(nn.Sequential(layer), x[:1], half=False), x.numpy())
    np.testing.assert_allclose(found, layer(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")], "`padding_mode` reflect"),
        ([nn.AvgPool2d(2, divisor_override=3)], "`divisor_override`"),
        ([nn.Flatten(2), nn.Linear(196, 2)], "no valid ONNX graph"),
    ],
)
def test_what_is_no_graph_is_one_line(layers: list[nn.Module], words: str) -> None:
    with pytest.raises(InputError, match=words) as fault:
        program_model(nn.Sequential(*layers), torch.zeros(1, 3, 14, 14), half=False)
    assert "\n" not in str(fault.value)
