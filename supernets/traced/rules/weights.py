"""Rules for layers with weights: convolutions, linear layers, norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from supernets.traced.calls import Build, NotUnderstood, Value, Weight


def pair(value: Any) -> tuple[int, int]:
    """Height and width of an option that torch takes as one number too."""
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def padded(name: str, padding: Any, kernel: Sequence[int], dilation: Sequence[int]) -> Any:
    """The padding in pixels; torch takes the words `valid` and `same` too."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        if any(total % 2 for total in whole):
            raise NotUnderstood(f"{name}: a convolution that pads its two sides differently")
        return tuple(total // 2 for total in whole)
    return pair(padding)


def conv(
    build: Build, name: str, real: Tensor, x: Value, weight: Any, bias: Any = None,
    stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Value:  # fmt: skip
    for part in (weight, *([bias] if bias is not None else [])):
        if not isinstance(part, Weight):
            raise NotUnderstood(f"{name}: a convolution whose weights are computed")
    path = weight.name.removesuffix(".weight")
    build.use(weight.name)
    weights = {"weight": weight.tensor, "bias": None if bias is None else bias.tensor}
    return add_conv(build, path, real, x, weights, stride, padding, dilation, groups)


def add_conv(
    build: Build, name: str, real: Tensor, x: Value, weights: dict[str, Any],
    stride: Any, padding: Any, dilation: Any, groups: int,
) -> Value:  # fmt: skip
    """Write a convolution down, from a module or a function."""
    kernel = tuple(weights["weight"].shape[2:])
    if len(kernel) != 2 or kernel[0] != kernel[1]:
        raise NotUnderstood(f"{name}: a convolution with a kernel of {kernel}, which is no square")
    dilation = pair(dilation)
    return build.add(
        name, "conv", (x,), real, weights,
        kernel=kernel[0], stride=pair(stride), dilation=dilation, groups=groups,
        padding=padded(name, padding, kernel, dilation),
    )  # fmt: skip


def conv_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    if m.padding_mode != "zeros":
        raise NotUnderstood(f"{name}: a convolution with padding of mode {m.padding_mode}")
    weights = {"weight": m.weight, "bias": m.bias}
    return add_conv(build, name, real, x, weights, m.stride, m.padding, m.dilation, m.groups)


def linear_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return build.add(name, "linear", (x,), real, {"weight": m.weight, "bias": m.bias})


def linear(build: Build, name: str, real: Tensor, x: Value, weight: Any, bias: Any = None) -> Value:
    if not isinstance(weight, Weight):
        raise NotUnderstood(f"{name}: a linear layer whose weights are computed")
    build.use(weight.name)
    weights = {"weight": weight.tensor, "bias": None if bias is None else bias.tensor}
    return build.add(weight.name.removesuffix(".weight"), "linear", (x,), real, weights)


def norm(
    build: Build, name: str, real: Tensor, x: Value, weights: dict[str, Any], eps: float
) -> Value:
    """Write a batch norm down; without scale and shift they are 1 and 0."""
    if real.ndim != 4:
        raise NotUnderstood(f"{name}: a batch norm of vectors")
    if weights["running_mean"] is None or weights["running_var"] is None:
        raise NotUnderstood(f"{name}: a batch norm that keeps no statistics")
    like = weights["running_mean"]
    weights["weight"] = torch.ones_like(like) if weights["weight"] is None else weights["weight"]
    weights["bias"] = torch.zeros_like(like) if weights["bias"] is None else weights["bias"]
    return build.add(name, "norm", (x,), real, weights, eps=eps)


def norm_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    names = "weight", "bias", "running_mean", "running_var"
    return norm(build, name, real, x, {n: getattr(m, n) for n in names}, m.eps)


def batch_norm(
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
    return norm(build, path, real, x, tensors, eps)


def layer_norm(
    build: Build, name: str, real: Tensor, x: Value, shape: Any,
    weight: Any = None, bias: Any = None, eps: float = 1e-5,
) -> Value:  # fmt: skip
    if len(shape) != 1 or weight is None:
        raise NotUnderstood(f"{name}: a layer norm over {len(shape)} dimensions, or without weight")
    build.use(weight.name)
    weights = {"weight": weight.tensor, "bias": or_zeros(bias, weight.tensor)}
    return build.add(
        weight.name.removesuffix(".weight"), "layer_norm", (x,), real, weights, eps=eps
    )


def or_zeros(bias: Any, like: Tensor) -> Tensor:
    """The bias, zeros where there is none."""
    return torch.zeros_like(like) if bias is None else bias.tensor  # type: ignore[no-any-return]


def layer_norm_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    if len(m.normalized_shape) != 1 or m.weight is None:
        raise NotUnderstood(f"{name}: a layer norm over several dimensions, or without weight")
    bias = torch.zeros_like(m.weight) if m.bias is None else m.bias
    return build.add(name, "layer_norm", (x,), real, {"weight": m.weight, "bias": bias}, eps=m.eps)
