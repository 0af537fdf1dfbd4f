"""What the calls of a network mean: torch's modules, functions and methods as operations of ours.

A rule writes one operation down and returns its number. What is in none of the tables is refused
by its name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.traced.calls import Build, NotUnderstood, Value, Weight

Rule = Callable[..., Any]


# ---- weights ---------------------------------------------------------------------------------


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _padding(name: str, padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> Any:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        if any(total % 2 for total in whole):
            raise NotUnderstood(f"{name}: a convolution that pads its two sides differently")
        return tuple(total // 2 for total in whole)
    return _pair(padding)


def _conv(
    build: Build, name: str, real: Tensor, x: Value, weight: Any, bias: Any = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Value:  # fmt: skip
    for part in (weight, *([bias] if bias is not None else [])):
        if not isinstance(part, Weight):
            raise NotUnderstood(f"{name}: a convolution whose weights are computed")
    path = weight.name.removesuffix(".weight")
    build.use(weight.name)
    weights = {"weight": weight.tensor, "bias": None if bias is None else bias.tensor}
    return _add_conv(build, path, real, x, weights, stride, padding, dilation, groups)


def _add_conv(
    build: Build, name: str, real: Tensor, x: Value, weights: dict[str, Any],
    stride: Any, padding: Any, dilation: Any, groups: int,
) -> Value:  # fmt: skip
    kernel = tuple(weights["weight"].shape[2:])
    if len(kernel) != 2 or kernel[0] != kernel[1]:
        raise NotUnderstood(f"{name}: a convolution with a kernel of {kernel}, which is no square")
    dilation = _pair(dilation)
    return build.add(
        name, "conv", (x,), real, weights,
        kernel=kernel[0], stride=_pair(stride), dilation=dilation, groups=groups,
        padding=_padding(name, padding, kernel, dilation),
    )  # fmt: skip


def _conv_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    if m.padding_mode != "zeros":
        raise NotUnderstood(f"{name}: a convolution with padding of mode {m.padding_mode}")
    weights = {"weight": m.weight, "bias": m.bias}
    return _add_conv(build, name, real, x, weights, m.stride, m.padding, m.dilation, m.groups)


def _linear_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return build.add(name, "linear", (x,), real, {"weight": m.weight, "bias": m.bias})


def _linear(
    build: Build, name: str, real: Tensor, x: Value, weight: Any, bias: Any = None
) -> Value:
    if not isinstance(weight, Weight):
        raise NotUnderstood(f"{name}: a linear layer whose weights are computed")
    build.use(weight.name)
    weights = {"weight": weight.tensor, "bias": None if bias is None else bias.tensor}
    return build.add(weight.name.removesuffix(".weight"), "linear", (x,), real, weights)


def _norm(
    build: Build, name: str, real: Tensor, x: Value, weights: dict[str, Any], eps: float
) -> Value:
    if real.ndim != 4:
        raise NotUnderstood(f"{name}: a batch norm of vectors")
    if weights["running_mean"] is None or weights["running_var"] is None:
        raise NotUnderstood(f"{name}: a batch norm that keeps no statistics")
    like = weights["running_mean"]
    weights["weight"] = torch.ones_like(like) if weights["weight"] is None else weights["weight"]
    weights["bias"] = torch.zeros_like(like) if weights["bias"] is None else weights["bias"]
    return build.add(name, "norm", (x,), real, weights, eps=eps)


def _norm_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    names = "weight", "bias", "running_mean", "running_var"
    return _norm(build, name, real, x, {n: getattr(m, n) for n in names}, m.eps)


def _batch_norm(
    build: Build, name: str, real: Tensor, x: Value, running_mean: Any, running_var: Any,
    weight: Any = None, bias: Any = None, training: bool = False, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:  # fmt: skip
    given = {
        "weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var
    }  # fmt: skip
    if not isinstance(x, Value) or not isinstance(running_mean, Weight):
        raise NotUnderstood(f"{name}: a batch norm of weights, or without statistics")
    path = running_mean.name.removesuffix(".running_mean")
    build.use(running_mean.name)
    tensors = {k: None if v is None else v.tensor for k, v in given.items()}
    return _norm(build, path, real, x, tensors, eps)


def _layer_norm(
    build: Build, name: str, real: Tensor, x: Value, shape: Any,
    weight: Any = None, bias: Any = None, eps: float = 1e-5,
) -> Value:  # fmt: skip
    if len(shape) != 1 or weight is None:
        raise NotUnderstood(f"{name}: a layer norm over {len(shape)} dimensions, or without weight")
    build.use(weight.name)
    weights = {"weight": weight.tensor, "bias": _or_zeros(bias, weight.tensor)}
    return build.add(
        weight.name.removesuffix(".weight"), "layer_norm", (x,), real, weights, eps=eps
    )


def _or_zeros(bias: Any, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if bias is None else bias.tensor  # type: ignore[no-any-return]


def _layer_norm_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    if len(m.normalized_shape) != 1 or m.weight is None:
        raise NotUnderstood(f"{name}: a layer norm over several dimensions, or without weight")
    bias = torch.zeros_like(m.weight) if m.bias is None else m.bias
    return build.add(name, "layer_norm", (x,), real, {"weight": m.weight, "bias": bias}, eps=m.eps)


# ---- arithmetic ------------------------------------------------------------------------------


def _arithmetic(kind: str) -> Rule:
    def rule(
        build: Build, name: str, real: Tensor, a: Any, b: Any, alpha: float = 1, **_: Any
    ) -> Value:
        if alpha != 1:
            raise NotUnderstood(f"{name}: {kind} with a factor")
        if isinstance(a, Value) and isinstance(b, Value):
            return build.add(name, kind, (a, b), real)
        value, other = (a, b) if isinstance(a, Value) else (b, a)
        if isinstance(other, Weight):
            return _factors(build, name, kind, real, value, other)
        if isinstance(other, int | float) and (value is a or kind in ("add", "mul")):
            return build.add(name, kind, (value,), real, other=float(other))
        raise NotUnderstood(f"{name}: {kind} of a {type(other).__name__}")

    return rule


def _factors(
    build: Build, name: str, kind: str, real: Tensor, value: Value, weight: Weight
) -> Value:
    shape = build.shape(value)
    if kind not in ("mul", "add"):
        raise NotUnderstood(f"{name}: {kind} of the weight {weight.name}")
    given = list(weight.tensor.shape)
    given = [1] * (len(shape) + 1 - len(given)) + given
    axes = [i for i, n in enumerate(given) if n > 1]
    if len(axes) > 1 or (axes and given[axes[0]] != real.shape[axes[0]]) or axes == [0]:
        raise NotUnderstood(
            f"{name}: the weight {weight.name} of shape {tuple(weight.tensor.shape)} differs in "
            "more than its channels"
        )
    build.use(weight.name)
    axis = axes[0] - 1 if axes else -1
    if axis < 0:
        raise NotUnderstood(f"{name}: the weight {weight.name} is one number for all channels")
    tensors = {"weight": weight.tensor.flatten()}
    return build.add(weight.name, "factors", (value,), real, tensors, operation=kind, axis=axis)


def _elementwise(kind: str, **names: tuple[str, Any]) -> tuple[Rule, Rule]:
    """Rules for the module and for the function; `names` say option -> (torch's name, default)."""

    def module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
        options = {k: getattr(m, theirs) for k, (theirs, _) in names.items()}
        return build.add(name, kind, (x,), real, **options)

    def function(
        build: Build, name: str, real: Tensor, x: Value, *args: Any, **given: Any
    ) -> Value:
        listed = dict(zip([theirs for theirs, _ in names.values()], args, strict=False))
        listed |= given
        options = {k: listed.get(theirs, default) for k, (theirs, default) in names.items()}
        return build.add(name, kind, (x,), real, **options)

    return module, function


RELU, RELU6 = _elementwise("relu"), _elementwise("relu6")
LEAKY = _elementwise("leaky_relu", slope=("negative_slope", 0.01))
ELU, SILU = _elementwise("elu", alpha=("alpha", 1.0)), _elementwise("silu")
GELU = _elementwise("gelu", approximate=("approximate", "none"))
SIGMOID, TANH = _elementwise("sigmoid"), _elementwise("tanh")
HARDSWISH, HARDSIGMOID = _elementwise("hardswish"), _elementwise("hardsigmoid")
MISH, SOFTPLUS = _elementwise("mish"), _elementwise("softplus")
IDENTITY = _elementwise("identity")


def _clamp(
    build: Build, name: str, real: Tensor, x: Value,
    min: float | None = None, max: float | None = None,
) -> Value:  # fmt: skip
    return build.add(name, "clamp", (x,), real, low=min, high=max)


def _hardtanh(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return build.add(name, "clamp", (x,), real, low=m.min_val, high=m.max_val)


# ---- pooling ---------------------------------------------------------------------------------


def _avg_pool(
    build: Build, name: str, real: Tensor, x: Value, kernel_size: Any, stride: Any = None,
    padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Value:  # fmt: skip
    sizes = _pool_sizes(name, kernel_size, stride, padding)
    return build.add(
        name, "avg_pool", (x,), real, **sizes,
        ceil_mode=ceil_mode, count_include_pad=count_include_pad,
    )  # fmt: skip


def _max_pool(
    build: Build, name: str, real: Tensor, x: Value, kernel_size: Any, stride: Any = None,
    padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Value:  # fmt: skip
    if _pair(dilation) != (1, 1) or return_indices:
        raise NotUnderstood(f"{name}: max pooling with dilation or indices")
    sizes = _pool_sizes(name, kernel_size, stride, padding)
    return build.add(name, "max_pool", (x,), real, **sizes, ceil_mode=ceil_mode)


def _pool_sizes(name: str, kernel: Any, stride: Any, padding: Any) -> dict[str, Any]:
    pairs = {
        "kernel": _pair(kernel),
        "stride": _pair(stride or kernel),
        "padding": _pair(padding),
    }
    if any(a != b for a, b in pairs.values()):
        raise NotUnderstood(f"{name}: pooling that is no square")
    return {k: a for k, (a, _) in pairs.items()}


def _avg_pool_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    options = m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad
    return _avg_pool(build, name, real, x, *options)


def _max_pool_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    options = m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices
    return _max_pool(build, name, real, x, *options)


def _adaptive_avg_pool(build: Build, name: str, real: Tensor, x: Value, size: Any) -> Value:
    before, after = build.shape(x)[-2:], tuple(real.shape[-2:])
    if before == after:
        return build.add(name, "identity", (x,), real)
    if after == (1, 1):
        return build.add(name, "mean", (x,), real, dims=(1, 2), keepdim=True)
    if before[0] % after[0] == 0 and before[0] // after[0] == before[1] / after[1]:
        side = before[0] // after[0]
        return build.add(
            name, "avg_pool", (x,), real, kernel=side, stride=side, padding=0,
            ceil_mode=False, count_include_pad=True,
        )  # fmt: skip
    return build.add(name, "adaptive_avg_pool", (x,), real, size=after)


def _adaptive_avg_pool_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return _adaptive_avg_pool(build, name, real, x, m.output_size)


def _adaptive_max_pool(build: Build, name: str, real: Tensor, x: Value, size: Any = 1) -> Value:
    if tuple(real.shape[-2:]) != (1, 1):
        raise NotUnderstood(f"{name}: adaptive max pooling to more than one pixel")
    return build.add(name, "amax", (x,), real, dims=(1, 2), keepdim=True)


def _reduce(kind: str) -> Rule:
    def rule(
        build: Build, name: str, real: Tensor, x: Value, dim: Any = None, keepdim: bool = False,
        *, dtype: Any = None,
    ) -> Value:  # fmt: skip
        rank = len(build.shape(x)) + 1
        if dim is None or dtype is not None:
            raise NotUnderstood(f"{name}: {kind} over everything")
        dims = [dim] if isinstance(dim, int) else list(dim)
        over = tuple(sorted(d % rank - 1 for d in dims))
        return build.add(name, kind, (x,), real, dims=over, keepdim=keepdim)

    return rule


# ---- shapes ----------------------------------------------------------------------------------


def _reshape(build: Build, name: str, real: Tensor, x: Value, *_: Any, **__: Any) -> Value:
    shape, before = tuple(real.shape[1:]), build.shape(x)
    if shape == before:
        return build.add(name, "identity", (x,), real)
    if shape == (prod(before),):
        return build.add(name, "flatten", (x,), real)
    return build.add(name, "reshape", (x,), real, shape=shape)


def _reshape_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return _reshape(build, name, real, x)


def _permute(build: Build, name: str, real: Tensor, x: Value, *dims: Any) -> Value:
    order = [int(d) for d in (dims[0] if len(dims) == 1 else dims)]
    rank = len(order)
    order = [d % rank for d in order]
    if order[0] != 0:
        raise NotUnderstood(f"{name}: permute moves the batch")
    return build.add(name, "permute", (x,), real, dims=tuple(d - 1 for d in order[1:]))


def _transpose(build: Build, name: str, real: Tensor, x: Value, dim0: int, dim1: int) -> Value:
    order = list(range(len(build.shape(x)) + 1))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permute(build, name, real, x, order)


def _concat(build: Build, name: str, real: Tensor, parts: Any, dim: int = 0) -> Value:
    if not all(isinstance(part, Value) for part in parts):
        raise NotUnderstood(f"{name}: a concatenation with weights or numbers")
    axis = dim % real.ndim - 1
    if len(parts) == 1:
        return build.add(name, "identity", tuple(parts), real)
    return build.add(name, "concat", tuple(parts), real, dim=axis)


def _chunk(build: Build, name: str, real: Any, x: Value, *args: Any, **kwargs: Any) -> list[Value]:
    """Chunk and split: a slice for each part."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    axis = dim % (len(build.shape(x)) + 1)
    if axis == 0:
        raise NotUnderstood(f"{name}: splits the batch")
    parts, start = [], 0
    for i, part in enumerate(real):
        stop = start + part.shape[axis]
        options = {"dim": axis - 1, "start": start, "stop": stop}
        parts.append(build.add(f"{name}.{i}", "slice", (x,), part, **options))
        start = stop
    return parts


def _getitem(build: Build, name: str, real: Any, x: Any, index: Any) -> Any:
    """A part of a list, or the channels from a to b."""
    if not isinstance(x, Value):
        return x[index]
    listed = list(index) if isinstance(index, tuple) else [index]
    if listed and listed[0] is Ellipsis:
        listed = [slice(None)] * (len(build.shape(x)) + 2 - len(listed)) + listed[1:]
    if not all(isinstance(part, slice) and part.step in (None, 1) for part in listed):
        raise NotUnderstood(f"{name}: an index {index}")
    value = x
    rank_shape = (None, *build.shape(x))
    for axis, part in enumerate(listed):
        if axis == 0:
            if part != slice(None):
                raise NotUnderstood(f"{name}: a part of the batch")
            continue
        start, stop, _ = part.indices(int(rank_shape[axis]))  # type: ignore[arg-type]
        if (start, stop) != (0, rank_shape[axis]):
            shape = [real.shape[0], *build.shape(value)]
            shape[axis] = stop - start
            like = real.new_empty(shape)
            value = build.add(name, "slice", (value,), like, dim=axis - 1, start=start, stop=stop)
    return value


def _pad(
    build: Build, name: str, real: Tensor, x: Value, pad: Any, mode: str = "constant",
    value: float | None = None,
) -> Value:  # fmt: skip
    if mode != "constant" or len(pad) > 4:
        raise NotUnderstood(f"{name}: padding of mode {mode}")
    return build.add(name, "pad", (x,), real, pads=tuple(map(int, pad)), value=float(value or 0))


def _pad_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return _pad(build, name, real, x, m.padding, "constant", getattr(m, "value", 0))


def _interpolate(
    build: Build, name: str, real: Tensor, x: Value, size: Any = None, scale_factor: Any = None,
    mode: str = "nearest", align_corners: Any = None, **_: Any,
) -> Value:  # fmt: skip
    before, after = build.shape(x)[-1], real.shape[-1]
    if mode not in ("nearest",) or after % before or align_corners:
        raise NotUnderstood(f"{name}: interpolation of mode {mode} by {after}/{before}")
    if after == before:
        return build.add(name, "identity", (x,), real)
    return build.add(name, "interpolate", (x,), real, scale=after // before, mode=mode)


def _interpolate_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return _interpolate(build, name, real, x, m.size, m.scale_factor, m.mode, m.align_corners)


def _itself(build: Build, name: str, *given: Any, **_: Any) -> Any:
    """Of `contiguous`, dropout in eval mode and the like: what goes in."""
    return next(x for x in given if isinstance(x, Value))


def _checked(build: Build, name: str, real: Any, *_: Any, **__: Any) -> Any:
    return real


ADD, SUB, MUL, DIV = map(_arithmetic, ("add", "sub", "mul", "div"))

MODULES: dict[type[nn.Module], Rule] = {
    nn.Conv2d: _conv_module,
    nn.Linear: _linear_module,
    nn.BatchNorm2d: _norm_module,
    nn.LayerNorm: _layer_norm_module,
    nn.AvgPool2d: _avg_pool_module,
    nn.MaxPool2d: _max_pool_module,
    nn.AdaptiveAvgPool2d: _adaptive_avg_pool_module,
    nn.AdaptiveMaxPool2d: lambda build, name, m, real, x: _adaptive_max_pool(build, name, real, x),
    nn.Flatten: _reshape_module,
    nn.Unflatten: _reshape_module,
    nn.ZeroPad2d: _pad_module,
    nn.ConstantPad2d: _pad_module,
    nn.Upsample: _interpolate_module,
    nn.Identity: _itself,
    nn.Dropout: _itself,
    nn.Dropout2d: _itself,
    nn.ReLU: RELU[0],
    nn.ReLU6: RELU6[0],
    nn.LeakyReLU: LEAKY[0],
    nn.ELU: ELU[0],
    nn.SiLU: SILU[0],
    nn.GELU: GELU[0],
    nn.Sigmoid: SIGMOID[0],
    nn.Tanh: TANH[0],
    nn.Hardswish: HARDSWISH[0],
    nn.Hardsigmoid: HARDSIGMOID[0],
    nn.Hardtanh: _hardtanh,
    nn.Mish: MISH[0],
    nn.Softplus: SOFTPLUS[0],
}

FUNCTIONS: dict[Callable[..., Any], Rule] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add), ADD),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), SUB),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), MUL),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), DIV),
    F.conv2d: _conv,
    torch.conv2d: _conv,
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.avg_pool2d: _avg_pool,
    F.max_pool2d: _max_pool,
    torch.max_pool2d: _max_pool,
    F.adaptive_avg_pool2d: _adaptive_avg_pool,
    F.adaptive_max_pool2d: _adaptive_max_pool,
    torch.mean: _reduce("mean"),
    torch.amax: _reduce("amax"),
    torch.flatten: _reshape,
    torch.reshape: _reshape,
    torch.squeeze: _reshape,
    torch.unsqueeze: _reshape,
    torch.permute: _permute,
    torch.transpose: _transpose,
    **dict.fromkeys((torch.cat, torch.concat), _concat),
    **dict.fromkeys((torch.chunk, torch.split), _chunk),
    operator.getitem: _getitem,
    F.pad: _pad,
    F.interpolate: _interpolate,
    **dict.fromkeys((F.dropout, F.dropout2d), _itself),
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_), RELU[1]),
    F.relu6: RELU6[1],
    F.leaky_relu: LEAKY[1],
    F.elu: ELU[1],
    F.silu: SILU[1],
    F.gelu: GELU[1],
    **dict.fromkeys((torch.sigmoid, F.sigmoid), SIGMOID[1]),
    **dict.fromkeys((torch.tanh, F.tanh), TANH[1]),
    F.hardswish: HARDSWISH[1],
    F.hardsigmoid: HARDSIGMOID[1],
    F.hardtanh: lambda build, name, real, x, min_val=-1.0, max_val=1.0, inplace=False: _clamp(
        build, name, real, x, min_val, max_val
    ),
    F.mish: MISH[1],
    F.softplus: SOFTPLUS[1],
    torch.clamp: _clamp,
    torch._assert: _checked,
}

METHODS: dict[str, Rule] = {
    **dict.fromkeys(("add", "add_"), ADD),
    **dict.fromkeys(("sub", "sub_"), SUB),
    **dict.fromkeys(("mul", "mul_"), MUL),
    **dict.fromkeys(("div", "div_"), DIV),
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"), _reshape),
    "permute": _permute,
    "transpose": _transpose,
    **dict.fromkeys(("contiguous", "clone", "float", "expand_as"), _itself),
    **dict.fromkeys(("chunk", "split"), _chunk),
    "mean": _reduce("mean"),
    "amax": _reduce("amax"),
    **dict.fromkeys(("relu", "relu_"), RELU[1]),
    **dict.fromkeys(("sigmoid", "sigmoid_"), SIGMOID[1]),
    **dict.fromkeys(("tanh", "tanh_"), TANH[1]),
    **dict.fromkeys(("clamp", "clamp_"), _clamp),
}
