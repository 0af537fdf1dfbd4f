"""The operations of traced networks as ONNX nodes of opset 13, by name.

What opset 13 lacks (GELU, SiLU, hard swish, layer norm) is put together from what it has, as
exporters do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.onnx.nodes import Nodes
from search_spaces import InputError
from supernets.traced import Operation

Names = Sequence[str]
Values = Sequence[Tensor]
Options = dict[str, Any]
Write = Callable[[Nodes, Names, Values, Options], str]


def operation(build: Nodes, module: Operation, names: Names, values: Values) -> str:
    """Add an operation; returns its output's name."""
    if module.kind not in OPERATIONS:
        raise InputError(f"cannot export the operation {module.kind}")
    return OPERATIONS[module.kind](build, names, values, dict(module.options))


def hard_sigmoid(build: Nodes, x: str) -> str:
    return build.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def layer_norm(build: Nodes, module: Any, x: str, value: Tensor) -> str:
    """Over the last dimension."""
    centred = build.node("Sub", x, build.node("ReduceMean", x, axes=[-1], keepdims=1))
    square = build.node("Mul", centred, centred)
    variance = build.node("ReduceMean", square, axes=[-1], keepdims=1)
    eps = build.number(module.eps)
    deviation = build.node("Sqrt", build.node("Add", variance, eps))
    scaled = build.node("Mul", build.node("Div", centred, deviation), build.weight(module.weight))
    return build.node("Add", scaled, build.weight(module.bias))


def batch_norm(build: Nodes, module: Any, x: str, value: Tensor) -> str:
    """One that could not be folded into a convolution in front of it."""
    if module.running_mean is None:
        raise InputError("cannot export a batch norm that keeps no statistics")
    like = module.running_mean
    weight = torch.ones_like(like) if module.weight is None else module.weight
    bias = torch.zeros_like(like) if module.bias is None else module.bias
    parts = weight, bias, module.running_mean, module.running_var
    return build.node(
        "BatchNormalization", x, *(build.weight(part) for part in parts), epsilon=module.eps
    )


def factors(build: Nodes, module: Any, x: str, value: Tensor) -> str:
    """A weight that multiplies, or is added, channel by channel."""
    shaped = build.node("Reshape", build.weight(module.weight), build.integers(module.shape[1:]))
    return build.node(module.kind.capitalize(), x, shaped)


def _one(kind: str, **attributes: Any) -> Write:
    return lambda build, names, values, options: build.node(kind, names[0], **attributes)


def _arithmetic(kind: str) -> Write:
    def write(build: Nodes, names: Names, values: Values, options: Options) -> str:
        if len(names) == 2:
            return build.node(kind, *names)
        return build.node(kind, names[0], build.number(options["other"]))

    return write


def _silu(build: Nodes, names: Names, values: Values, options: Options) -> str:
    return build.node("Mul", names[0], build.node("Sigmoid", names[0]))


def _hardswish(build: Nodes, names: Names, values: Values, options: Options) -> str:
    return build.node("Mul", names[0], hard_sigmoid(build, names[0]))


def _mish(build: Nodes, names: Names, values: Values, options: Options) -> str:
    return build.node("Mul", names[0], build.node("Tanh", build.node("Softplus", names[0])))


def _gelu(build: Nodes, names: Names, values: Values, options: Options) -> str:
    (x,) = names

    if options["approximate"] == "tanh":
        cube = build.node("Mul", x, build.node("Mul", x, x))
        inner = build.node("Add", x, build.node("Mul", cube, build.number(0.044715)))
        curve = build.node("Tanh", build.node("Mul", inner, build.number(math.sqrt(2 / math.pi))))
    else:
        curve = build.node("Erf", build.node("Mul", x, build.number(math.sqrt(0.5))))
    share = build.node("Mul", build.node("Add", curve, build.number(1.0)), build.number(0.5))
    return build.node("Mul", x, share)


def _clamp(build: Nodes, names: Names, values: Values, options: Options) -> str:
    low, high = (options.get(key) for key in ("low", "high"))
    bounds = ["" if v is None else build.number(v) for v in (low, high)]
    return build.node("Clip", names[0], *bounds)


def _relu6(build: Nodes, names: Names, values: Values, options: Options) -> str:
    return _clamp(build, names, values, {"low": 0.0, "high": 6.0})


def _reduce(kind: str) -> Write:
    def write(build: Nodes, names: Names, values: Values, options: Options) -> str:
        axes = [dim + 1 for dim in options["dims"]]
        return build.node(kind, names[0], axes=axes, keepdims=int(options["keepdim"]))

    return write


def _pool(kind: str) -> Write:
    def write(build: Nodes, names: Names, values: Values, options: Options) -> str:
        given: dict[str, Any] = {
            "kernel_shape": [options["kernel"]] * 2,
            "strides": [options["stride"]] * 2,
            "pads": [options["padding"]] * 4,
            "ceil_mode": int(options["ceil_mode"]),
        }
        if kind == "AveragePool":
            given["count_include_pad"] = int(options["count_include_pad"])
        return build.node(kind, names[0], **given)

    return write


def _concat(build: Nodes, names: Names, values: Values, options: Options) -> str:
    return build.node("Concat", *names, axis=options["dim"] + 1)


def _slice(build: Nodes, names: Names, values: Values, options: Options) -> str:
    ends = options["start"], options["stop"], options["dim"] + 1
    return build.node("Slice", names[0], *(build.integers([n]) for n in ends))


def _reshape(build: Nodes, names: Names, values: Values, options: Options) -> str:
    return build.node("Reshape", names[0], build.integers([0, *options["shape"]]))


def _permute(build: Nodes, names: Names, values: Values, options: Options) -> str:
    return build.node("Transpose", names[0], perm=[0, *(dim + 1 for dim in options["dims"])])


def _pad(build: Nodes, names: Names, values: Values, options: Options) -> str:
    pads = list(options["pads"])
    before, after = pads[::2][::-1], pads[1::2][::-1]
    rest = [0] * (values[0].ndim - len(before))
    ends = build.integers([*rest, *before, *rest, *after])
    return build.node("Pad", names[0], ends, build.number(options["value"]))


def _interpolate(build: Nodes, names: Names, values: Values, options: Options) -> str:
    scales = build.constant(np.array([1, 1, options["scale"], options["scale"]], np.float32))
    given: dict[str, Any] = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
    }
    return build.node("Resize", names[0], "", scales, nearest_mode="floor", **given)


OPERATIONS: dict[str, Write] = {
    "identity": lambda build, names, values, options: names[0],
    "relu": _one("Relu"),
    "relu6": _relu6,
    "leaky_relu": lambda build, names, values, options: build.node(
        "LeakyRelu", names[0], alpha=float(options["slope"])
    ),
    "elu": lambda build, names, values, options: build.node(
        "Elu", names[0], alpha=float(options["alpha"])
    ),
    "silu": _silu,
    "gelu": _gelu,
    "sigmoid": _one("Sigmoid"),
    "tanh": _one("Tanh"),
    "softplus": _one("Softplus"),
    "mish": _mish,
    "hardswish": _hardswish,
    "hardsigmoid": lambda build, names, values, options: hard_sigmoid(build, names[0]),
    "clamp": _clamp,
    **{kind: _arithmetic(kind.capitalize()) for kind in ("add", "sub", "mul", "div")},
    "mean": _reduce("ReduceMean"),
    "l2": _reduce("ReduceL2"),
    "amax": _reduce("ReduceMax"),
    "avg_pool": _pool("AveragePool"),
    "max_pool": _pool("MaxPool"),
    "concat": _concat,
    "slice": _slice,
    "flatten": _one("Flatten"),
    "reshape": _reshape,
    "permute": _permute,
    "pad": _pad,
    "interpolate": _interpolate,
}
