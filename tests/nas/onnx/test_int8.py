"""Quantised graphs: int8 inside, float outside, and answers that are nearly the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch

from nas.onnx.graph import program_model
from nas.onnx.int8 import quantised
from supernets import extract
from tests.supernets.tiny import SPACE, images, supernet


def test_int8_graphs_are_quantised_and_still_answer() -> None:
    net = extract(supernet(), SPACE.subnet(SPACE.largest), heads=[3]).fold()
    x = images(48)
    with torch.inference_mode():
        (wanted,) = net(x)
    whole = program_model(net, x[:1], half=False)
    small = quantised(whole, x.numpy())
    kinds = [node.op_type for node in small.graph.node]
    assert kinds.count("QuantizeLinear") >= kinds.count("Conv") > 10
    stored = {w.name: w.data_type for w in small.graph.initializer}
    weights = [w for w in whole.graph.initializer if len(w.dims) == 4]
    assert all(stored[f"{w.name}_quantized"] == onnx.TensorProto.INT8 for w in weights)
    session = onnxruntime.InferenceSession(small.SerializeToString())
    (found,) = session.run(None, {"input": x.numpy()})
    assert found.dtype == np.float32
    assert np.corrcoef(found.ravel(), wanted.numpy().ravel())[0, 1] > 0.98
