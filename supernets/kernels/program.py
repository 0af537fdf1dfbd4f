"""A network for images of one size as tables of calls, for a process that has neither torch nor us.

`nas/runtime/program.py` runs them. What a call needs depends on the processor's vectors, so there
is a table for each kind of processor.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import fx, nn

from search_spaces import InputError
from supernets.kernels.glue import average_text, linear_text, network_text, sum_text
from supernets.kernels.layers import DepthwiseConv2d, PackedConv2d
from supernets.kernels.network import BOUNDS, RELUS, STEM_ROWS, pack_network
from supernets.kernels.plans import Call, DepthwisePlan, SparsePlan, plane_bands, spans
from supernets.kernels.tables import (
    UNBOUNDED,
    Bounds,
    Place,
    Scratch,
    Tables,
    code_name,
    named_text,
)
from supernets.kernels.text import Code
from supernets.kernels.translate import Processor
from supernets.pruning.blocks import covering_blocks
from supernets.static import GlobalMean, PoolTo

KINDS = {
    "avx512": Processor("x86_64", "", "", 16, 32),
    "avx2": Processor("x86_64", "", "", 8, 16),
    "sse": Processor("x86_64", "", "", 4, 16),
    "neon": Processor("aarch64", "", "", 4, 32),
}
NETWORK = Code(network_text)
FEW_ZEROS = 0.05  # share of a layer's weights: fp16 makes some of the smallest zero
WIDEST = 16  # floats of a vector of any kind, so that all kinds have the same weights
ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
SAME = (nn.Identity, nn.Dropout, nn.Flatten)


@dataclass(frozen=True)
class Program:
    """A network of one kind of processor; places and sizes are in bytes."""

    weights: NDArray[np.uint8]
    tables: tuple[NDArray[np.int64], ...]  # (calls, COLUMNS), one for each thread
    codes: tuple[str, ...]  # what the kernels of the table are called
    runner: str  # the function that makes the calls
    scratch: int  # the first 8 bytes count threads, and must be zero
    inputs: int  # where the image lies in the scratch
    outputs: tuple[tuple[int, tuple[int, ...]], ...]  # where, and the shape without the batch


def is_pruned(net: nn.Module) -> bool:
    """Whether a convolution of `net` has so many zeros that they were chosen."""
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    return any(float((m.weight == 0).float().mean()) > FEW_ZEROS for m in layers)


def pack_zeros(net: nn.Module, g: int) -> fx.GraphModule:
    """`net` with kernels; its zeros say what its blocks of `g` rows are.

    A convolution with few zeros is computed with all of its weights.
    """
    folded = pack_network(net, {}, g, kernels=False)
    starts, sizes = {}, {}
    for name, module in folded.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            weight = module.weight.detach().numpy()
            rows = g if is_pruned(module) else STEM_ROWS
            starts[name], sizes[name] = covering_blocks(weight, rows)
    return pack_network(folded, starts, sizes)


def write_program(
    packed: fx.GraphModule, shape: tuple[int, ...], kind: str, threads: int = 1
) -> tuple[Program, dict[str, str]]:
    """`packed` for one image (C, H, W) on a `kind` of processor; its kernels' texts by name.

    InputError names a layer that has no kernel.
    """
    writer = _Writer(packed, KINDS[kind], threads)
    program = writer.program(shape)
    return program, {code_name(c): named_text(c) for c in (NETWORK, *writer.tables.codes)}


class _Writer:
    """Walks a traced network once and writes the calls of every thread."""

    def __init__(self, net: fx.GraphModule, cpu: Processor, threads: int) -> None:
        self.net, self.cpu, self.threads = net, cpu, threads
        self.tables, self.scratch = Tables(cpu, threads), Scratch()
        self._values: dict[fx.Node, Place] = {}

    def program(self, shape: tuple[int, ...]) -> Program:
        outputs: tuple[tuple[int, tuple[int, ...]], ...] = ()
        inputs = 0
        for node in self.net.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = self.scratch.place(shape, len(node.users) + 1)
                inputs = self._values[node].at
            elif node.op == "output":
                answers = node.args[0]
                answers = answers if isinstance(answers, list | tuple) else (answers,)
                outputs = tuple((self._values[a].at, self._values[a].shape) for a in answers)
            else:
                self._node(node)
        return Program(
            np.frombuffer(bytes(self.tables.weights), np.uint8),
            self.tables.arrays(),
            tuple(code_name(code) for code in self.tables.codes),
            code_name(NETWORK),
            self.scratch.size,
            inputs,
            outputs,
        )

    def _node(self, node: fx.Node) -> None:
        inputs = [self._values[a] for a in node.args if isinstance(a, fx.Node)]
        readers = len(node.users)
        layer: Any = node.target
        if node.op == "call_module":
            layer = self.net.get_submodule(str(node.target))
        if not inputs:  # a list of values, as of a concatenation, or a weight
            raise _no_kernel(node, layer)
        value = self._computed(node, layer, inputs)
        if value in inputs:  # the same memory, with the readers of both
            value.readers += readers
        else:
            value.readers = readers
        self._values[node] = value
        for place in inputs:
            self.scratch.read(place)

    def _computed(self, node: fx.Node, layer: Any, inputs: list[Place]) -> Place:
        x = inputs[0]
        if isinstance(layer, PackedConv2d):
            return self._sparse(layer, x)
        if isinstance(layer, DepthwiseConv2d):
            weight, bias = layer.weight.numpy(), layer.bias.numpy()
            shape = (1, *x.shape)
            plan = DepthwisePlan(
                *(weight, bias, shape, self.cpu), stride=layer.stride, threads=self.threads
            )
            y = self.scratch.place(plan.out_shape[1:], 1)
            self.tables.add(plan.parts, x.at, y.at, (layer.low, layer.high))
            return y
        if isinstance(layer, nn.Linear):
            return self._linear(layer, x)
        same = len({place.shape for place in inputs}) == 1 and not node.kwargs
        if layer in ADDITIONS and len(inputs) == 2 and same:
            return self._sum(inputs[0], inputs[1], UNBOUNDED)
        if type(layer) in BOUNDS or layer in RELUS:
            return self._sum(x, None, BOUNDS.get(type(layer), (0.0, np.inf)))
        return self._pooled(node, layer, x)

    def _pooled(self, node: fx.Node, layer: Any, x: Place) -> Place:
        """Averages, and layers that change nothing but the shape."""
        if isinstance(layer, GlobalMean) or _is_mean(node, layer):
            kept = (1, 1) if _is_adaptive(layer) else ()
            return self._average(x, (x.shape[0], *kept), *x.shape[1:])
        if isinstance(layer, PoolTo):
            factor = max(1, x.shape[-1] // layer.side)
            if factor == 1:
                return x
            shape = (x.shape[0], *(side // factor for side in x.shape[1:]))
            return self._average(x, shape, factor, factor)
        if isinstance(layer, SAME) or layer in (torch.flatten, "flatten", F.dropout):
            flat = not isinstance(layer, nn.Identity | nn.Dropout) and layer is not F.dropout
            if flat:
                x.shape = (x.n,)
            return x
        raise _no_kernel(node, layer)

    def _sparse(self, layer: PackedConv2d, x: Place) -> Place:
        plan = SparsePlan(
            *(layer.packed, (1, *x.shape), self.cpu),
            name=layer.name,
            stride=layer.stride,
            padding=layer.padding,
            threads=self.threads,
        )
        y, source = self.scratch.place(plan.out_shape[1:], 1), x.at
        if plan.padded is not None:
            if plan.moves is None:
                raise InputError(f"{layer.name}: no kernel pads inputs of {x.shape} for its stride")
            # what lies around the inputs stays zero, so that equal layers share it
            key = plan.padded, layer.stride, layer.padding, x.shape
            source = self.scratch.kept(key, plan.padded)
            self.tables.add(plan.moves, x.at, source)
        self.tables.add(plan.parts, source, y.at, (layer.low, layer.high))
        return y

    def _sum(self, x: Place, other: Place | None, bounds: Bounds) -> Place:
        y = self.scratch.place(x.shape, 1)
        distance = 0 if other is None else other.at - x.at
        code = Code(sum_text, (self.cpu.vector, 1 if other is None else 2))
        channels, *plane = x.shape
        height, width = plane or (1, 1)
        bands = plane_bands(height, width, self.cpu.vector, self.threads)
        step = 4 * height * width
        shares = [(a, b, 0, height) for a, b in spans(channels, self.threads)]
        if len(bands) > 1:
            shares = [(0, channels, *band) for band in bands]
        parts = []
        for first, end, top, bottom in shares:
            at = first * step + 4 * top * width
            numbers = (end - first, step, (bottom - top) * width, distance)
            if (top, bottom) == (0, height):  # channels that lie behind each other are one
                numbers = (1, step, (end - first) * height * width, distance)
            parts.append([Call(code, (), numbers, at, at)])
        self.tables.add(parts, x.at, y.at, bounds)
        return y

    def _average(self, x: Place, shape: tuple[int, ...], down: int, across: int) -> Place:
        y, (channels, rows, columns) = self.scratch.place(shape, 1), x.shape
        if (down, across) == (rows, columns):  # all of a plane is one line
            rows, columns, down, across = 1, rows * columns, 1, rows * columns
        plane, mean = 4 * rows * columns, 4 * (rows // down) * (columns // across)
        sizes = rows, columns, down, across
        parts = [
            [Call(Code(average_text), (), (b - a, *sizes), a * plane, a * mean)]
            for a, b in spans(channels, self.threads)
        ]
        self.tables.add(parts, x.at, y.at)
        return y

    def _linear(self, layer: nn.Linear, x: Place) -> Place:
        if len(x.shape) > 1 and max(x.shape[1:]) > 1:
            raise InputError(f"a linear layer reads {x.shape}: flatten it first")
        width, rows = self.cpu.vector, -(-layer.out_features // WIDEST) * WIDEST
        weight = np.zeros((layer.in_features, rows), np.float32)
        weight[:, : layer.out_features] = layer.weight.detach().numpy().T
        bias = np.zeros(rows, np.float32)
        if layer.bias is not None:
            bias[: layer.out_features] = layer.bias.detach().numpy()
        y = self.scratch.place((layer.out_features,), 1)  # its slack takes a last whole vector
        code, sizes = Code(linear_text, (width,)), (layer.in_features, rows)
        parts = [
            [Call(code, (weight, bias), (*sizes, *span), 0, 0)]
            for span in spans(rows // width, self.threads)
        ]
        self.tables.add(parts, x.at, y.at)
        return y


def _is_adaptive(layer: Any) -> bool:
    """Whether a mean leaves maps, of one pixel each."""
    return isinstance(layer, nn.AdaptiveAvgPool2d) or layer is F.adaptive_avg_pool2d


def _is_mean(node: fx.Node, layer: Any) -> bool:
    """Whether a node averages whole planes."""
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return layer.output_size in (1, (1, 1))
    if layer is F.adaptive_avg_pool2d:
        return node.args[1] in (1, (1, 1), [1, 1])
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    kept = node.kwargs.get("keepdim", False)
    return (
        layer in (torch.mean, "mean") and dims in ((2, 3), [2, 3], (-2, -1), [-2, -1]) and not kept
    )


def _no_kernel(node: fx.Node, layer: Any) -> InputError:
    if isinstance(layer, nn.Module):
        return InputError(f"{node.target}: no kernel for {type(layer).__name__}")
    return InputError(f"{node.name}: no kernel for {getattr(layer, '__name__', layer)}")
