"""Networks that `torch.fx` traced as ONNX nodes: additions and poolings that are no layers."""

from __future__ import annotations

import operator
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from search_spaces import InputError


class Builder(Protocol):
    """What nodes are added to (`nas.onnx.graph`)."""

    def node(self, kind: str, *inputs: str) -> str: ...
    def layer(self, module: nn.Module, x: str, value: Tensor) -> tuple[str, Tensor]: ...


CALLS: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "Add"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul"), "Mul"),
    **dict.fromkeys((torch.relu, F.relu, "relu", "relu_"), "Relu"),
    **dict.fromkeys((torch.flatten, "flatten"), "Flatten"),
}
POOLED = (F.adaptive_avg_pool2d, torch.mean, "mean")
LAYERS_OF_CALLS = {F.relu6: nn.ReLU6(), F.hardswish: nn.Hardswish()}


def add_traced(build: Builder, net: fx.GraphModule, x: str, value: Tensor) -> tuple[str, Tensor]:
    """Add all nodes of `net` behind the tensor `x`, which has the example `value`."""
    known: dict[Any, tuple[str, Tensor]] = {}
    for node in net.graph.nodes:
        if node.op == "placeholder":
            known[node] = x, value
        elif node.op == "output":
            return known[node.args[0]]
        else:
            known[node] = _node(build, net, node, known)
    raise InputError(f"{type(net).__name__} has no output")


def _node(
    build: Builder, net: fx.GraphModule, node: fx.Node, known: dict[Any, tuple[str, Tensor]]
) -> tuple[str, Tensor]:
    inputs = [known[a] for a in node.args if isinstance(a, fx.Node)]
    if node.op == "call_module":
        return build.layer(net.get_submodule(str(node.target)), *inputs[0])
    made: Any = fx.Interpreter(net)
    values = [known[a][1] if isinstance(a, fx.Node) else a for a in node.args]
    value = getattr(made, node.op)(node.target, tuple(values), node.kwargs)
    names = [name for name, _ in inputs]
    if node.target in LAYERS_OF_CALLS:
        return build.layer(LAYERS_OF_CALLS[node.target], *inputs[0])
    if node.target in CALLS and len(names) == (2 if CALLS[node.target] in ("Add", "Mul") else 1):
        return build.node(CALLS[node.target], *names), value
    if node.target in POOLED and value.numel() == inputs[0][1].shape[1]:  # whole planes
        mean = build.node("GlobalAveragePool", *names)
        return (mean if value.ndim == 4 else build.node("Flatten", mean)), value
    raise InputError(f"cannot export {node.target} of {node.name}")
