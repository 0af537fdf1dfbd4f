"""Networks that `torch.fx` traced as ONNX nodes, by the rules that wrapped networks have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn

from nas.onnx.nodes import Nodes
from nas.onnx.operations import OPERATIONS
from search_spaces import InputError
from supernets.traced import FUNCTIONS, METHODS, MODULES, N_IMAGES, Value, Weight, apply


class _Writer:
    """Where rules write operations down, as nodes; a value has a name and an example."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.made: list[tuple[str, Tensor]] = []

    def value(self, name: str, example: Tensor) -> Value:
        self.made.append((name, example))
        return Value(len(self.made) - 1)

    def add(
        self,
        name: str,
        kind: str,
        inputs: tuple[Value, ...],
        real: Tensor,
        weights: Mapping[str, Tensor | None] | None = None,
        **options: Any,
    ) -> Value:
        if weights or kind not in OPERATIONS or real.ndim == 0 or len(real) != N_IMAGES:
            raise InputError(f"cannot export the {kind} {name}")
        names, values = zip(*(self.made[v.number] for v in inputs), strict=True)
        return self.value(OPERATIONS[kind](self.nodes, names, values, options), real)

    def use(self, name: str) -> None:
        """A weight may be used again: nothing is cut here."""

    def shape(self, value: Value) -> tuple[int, ...]:
        return tuple(self.made[value.number][1].shape[1:])


def add_module(nodes: Nodes, module: nn.Module, x: str, value: Tensor) -> tuple[str, Tensor]:
    """Add a layer without weights behind the tensor `x`, which has the example `value`."""
    if type(module) not in MODULES:
        raise InputError(f"cannot export a layer of type {type(module).__name__}")
    writer, images = _Writer(nodes), value.expand(N_IMAGES, *value.shape[1:])
    given = writer.value(x, images)
    known = module, module(images)
    made = apply(MODULES[type(module)], writer, type(module).__name__, known, [given], {})
    name, example = writer.made[made.number]
    return name, example[: len(value)]


def add_traced(build: Any, net: fx.GraphModule, x: str, value: Tensor) -> tuple[str, Tensor]:
    """Add all nodes of `net` behind the tensor `x`, which has the example `value` (1, ...).

    `build` is the graph's builder (`nas.onnx.graph`). InputError names what cannot be exported.
    """
    writer, run = _Writer(build), fx.Interpreter(net)
    known: dict[fx.Node, Any] = {}
    real: dict[fx.Node, Any] = {}
    for node in net.graph.nodes:
        args, kwargs = (fx.node.map_arg(a, known.__getitem__) for a in (node.args, node.kwargs))
        if node.op == "placeholder":
            real[node] = value.expand(N_IMAGES, *value.shape[1:])
            known[node] = writer.value(x, real[node])
        elif node.op == "output":
            if not isinstance(args[0], Value):
                raise InputError(f"cannot export a network that returns a {type(args[0]).__name__}")
            name, example = writer.made[args[0].number]
            return name, example[:1]
        elif node.op == "call_module":
            name, example = writer.made[args[0].number]
            made = build.layer(net.get_submodule(str(node.target)), name, example)
            known[node], real[node] = writer.value(*made), made[1]
        else:
            given = (fx.node.map_arg(a, real.__getitem__) for a in (node.args, node.kwargs))
            real[node] = getattr(run, node.op)(node.target, *given)
            known[node] = _called(writer, node, real[node], args, kwargs)
    raise InputError(f"{type(net).__name__} has no output")


def _called(writer: _Writer, node: fx.Node, real: Any, args: Any, kwargs: Any) -> Any:
    """The value, or the list of values, that a function or a method makes; a size as it is."""
    if node.op == "get_attr":
        return Weight(str(node.target), real)
    rule = (METHODS if node.op == "call_method" else FUNCTIONS).get(node.target)  # type: ignore[attr-defined]
    if rule is not None:
        return apply(rule, writer, node.name, (real,), args, kwargs)
    if isinstance(real, Tensor):
        raise InputError(f"cannot export {getattr(node.target, '__name__', node.target)}")
    return real
