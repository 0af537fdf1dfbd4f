"""Nodes and weights of one ONNX graph, as they are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper
from torch import Tensor


class Nodes:
    """Nodes and weights of one graph; every method that adds a node returns its output's name."""

    def __init__(self, *, half: bool) -> None:
        self.dtype = np.float16 if half else np.float32
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        out = name or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def weight(self, values: Tensor) -> str:
        name = f"weight{len(self.weights)}"
        array = values.detach().numpy().astype(self.dtype)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def constant(self, values: np.ndarray) -> str:
        """Stored values that are no weights: they stay in the graph when weights are shared."""
        return self.node("Constant", value=numpy_helper.from_array(values))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=self.dtype))

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, dtype=np.int64))
