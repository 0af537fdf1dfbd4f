"""A torch network recorded as a graph, where branches on sizes are taken as for an example."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn


class Tracer(fx.Tracer):  # type: ignore[misc]
    """Records the calls of modules; `path` is the module that runs.

    Where the code branches on a size, or loops over sizes or parts, they are those of `images`,
    which run through what was recorded so far.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.path = ""
        self.images = images
        self.values: dict[fx.Node, Any] = {}
        self.running = False  # while a size is found, modules are called, not recorded

    def to_bool(self, obj: fx.Proxy) -> bool:
        value = self._value(obj.node)
        if has_tensor(value):
            raise fx.proxy.TraceError("what is in an image decides which code runs")
        return bool(value)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        value = self._value(obj.node)
        if isinstance(value, Tensor):
            raise fx.proxy.TraceError("a loop runs over the values of a tensor")
        return iter([obj[i] for i in range(len(value))])

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self.running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    @torch.no_grad()
    def _value(self, node: fx.Node) -> Any:
        """What a node is for `images`; every node is run once."""
        self.running = True
        try:
            for n in self.graph.nodes:
                if n not in self.values:
                    self.values[n] = self._run(n)
                if n is node:
                    break
        finally:
            self.running = False
        return self.values[node]

    def _run(self, n: fx.Node) -> Any:
        args, kwargs = (fx.node.map_arg(a, self.values.__getitem__) for a in (n.args, n.kwargs))
        if n.op == "placeholder":
            return args[0] if args else self.images.clone()
        if n.op == "get_attr":
            return operator.attrgetter(str(n.target))(self.root)
        if n.op == "call_module":
            return self.root.get_submodule(str(n.target))(*args, **kwargs)
        if n.op == "call_method":
            return getattr(args[0], str(n.target))(*args[1:], **kwargs)
        return n.target(*args, **kwargs)  # type: ignore[operator]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m).__module__.startswith("torch.nn") and not isinstance(m, nn.Sequential)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if self.running:
            return forward(*args, **kwargs)
        before, self.path = self.path, self.path_of_module(m)
        found = super().call_module(m, forward, args, kwargs)
        self.path = before  # an exception leaves the path where it happened
        return found


def has_tensor(value: Any) -> bool:
    """Whether a value, or one in a list of them, is a tensor."""
    if isinstance(value, Tensor):
        return True
    return isinstance(value, list | tuple) and any(map(has_tensor, value))
