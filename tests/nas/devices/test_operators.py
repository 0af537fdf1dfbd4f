"""One operator as a network of its own."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nas.devices.operators import operator_network
from nas.measure import programs, unique_operators
from nas.onnx.graph import program_model
from predictors import Operator
from search_spaces import InputError, MobileNetV3Space, ResNet50Space, Space, get_space

DIGITS = get_space("resnet-digits")
SPACES: dict[str, Space] = {
    "digits": DIGITS,
    "cifar": get_space("resnet-cifar"),
    "mobilenetv3": MobileNetV3Space(n_classes=10, resolutions=(64,), exits=(1, 3)),
    "resnet50": ResNet50Space(n_classes=10, resolutions=(61,), exits=(0, 2)),
}


def answers(model: onnx.ModelProto, x: torch.Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x.numpy()})


@pytest.mark.parametrize("name", SPACES)
def test_every_operator_of_a_space_runs_alone(name: str) -> None:
    """In torch and as a graph; with the weights and the output that the space says."""
    space = SPACES[name]
    operators = unique_operators(space, programs(space, 2, 0))
    assert len({str(o) for o in operators}) == len(operators)
    kinds = {(o.kind, o.residual, o.side_in > o.side_out): o for o in operators}
    for operator in {*kinds.values(), *operators[:: len(operators) // 8]}:
        net, x = operator_network(operator, batch=2)
        n_weights = sum(p.numel() for p in net.parameters() if p.dim() > 1)
        fan_in = 1 if operator.kind == "depthwise" else operator.c_in
        counted = operator.kind in ("conv", "depthwise", "linear")
        assert n_weights == counted * fan_in * operator.c_out * operator.kernel**2
        with torch.inference_mode():
            wanted = net(x).numpy()
        assert wanted.size == 2 * operator.c_out * operator.side_out**2
        (found,) = answers(program_model(net, x[:1], half=False), x)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_impossible_operators_are_refused() -> None:
    with pytest.raises(InputError, match=r"attention-input.* is no operator that can be run alone"):
        operator_network(Operator("attention", 8, 8, 1, 4, 4), 1)
