"""Rules for pooling and means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from supernets.traced.calls import Build, NotUnderstood, Value
from supernets.traced.rules.weights import pair


def avg_pool(
    build: Build, name: str, real: Tensor, x: Value, kernel_size: Any, stride: Any = None,
    padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Value:  # fmt: skip
    if divisor_override is not None:
        raise NotUnderstood(f"{name}: average pooling with `divisor_override`")
    sizes = pool_sizes(name, kernel_size, stride, padding)
    return build.add(
        name, "avg_pool", (x,), real, **sizes,
        ceil_mode=ceil_mode, count_include_pad=count_include_pad,
    )  # fmt: skip


def max_pool(
    build: Build, name: str, real: Tensor, x: Value, kernel_size: Any, stride: Any = None,
    padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Value:  # fmt: skip
    if pair(dilation) != (1, 1) or return_indices:
        raise NotUnderstood(f"{name}: max pooling with dilation or indices")
    sizes = pool_sizes(name, kernel_size, stride, padding)
    return build.add(name, "max_pool", (x,), real, **sizes, ceil_mode=ceil_mode)


def pool_sizes(name: str, kernel: Any, stride: Any, padding: Any) -> dict[str, Any]:
    """The sizes of a square window; NotUnderstood for any other."""
    pairs = {
        "kernel": pair(kernel),
        "stride": pair(stride or kernel),
        "padding": pair(padding),
    }
    if any(a != b for a, b in pairs.values()):
        raise NotUnderstood(f"{name}: pooling that is no square")
    return {k: a for k, (a, _) in pairs.items()}


def avg_pool_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    options = m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad
    return avg_pool(build, name, real, x, *options, m.divisor_override)


def max_pool_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    options = m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices
    return max_pool(build, name, real, x, *options)


def adaptive_avg_pool(build: Build, name: str, real: Tensor, x: Value, size: Any) -> Value:
    """As plain a pooling as gives that size."""
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


def adaptive_avg_pool_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return adaptive_avg_pool(build, name, real, x, m.output_size)


def adaptive_max_pool(build: Build, name: str, real: Tensor, x: Value, size: Any = 1) -> Value:
    if tuple(real.shape[-2:]) != (1, 1):
        raise NotUnderstood(f"{name}: adaptive max pooling to more than one pixel")
    return build.add(name, "amax", (x,), real, dims=(1, 2), keepdim=True)


def reduce(kind: str) -> Callable[..., Any]:
    """The rule of a mean, maximum or norm over some dimensions, none of them the batch."""

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


def norm(
    build: Build, name: str, real: Tensor, x: Value, p: Any = "fro", dim: Any = None,
    keepdim: bool = False, dtype: Any = None,
) -> Value:  # fmt: skip
    if p not in (2, "fro"):
        raise NotUnderstood(f"{name}: a norm of order {p}")
    rule: Value = reduce("l2")(build, name, real, x, dim, keepdim, dtype=dtype)
    return rule
