"""Rules for what moves values: shapes, concatenation, slices, padding."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor

from supernets.traced.calls import Build, NotUnderstood, Value


def reshape(build: Build, name: str, real: Tensor, x: Value, *_: Any, **__: Any) -> Value:
    """The example says what shape a view, a flattening or a squeeze gives."""
    shape, before = tuple(real.shape[1:]), build.shape(x)
    if shape == before:
        return build.add(name, "identity", (x,), real)
    if shape == (prod(before),):
        return build.add(name, "flatten", (x,), real)
    return build.add(name, "reshape", (x,), real, shape=shape)


def reshape_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return reshape(build, name, real, x)


def permute(
    build: Build, name: str, real: Tensor, x: Value, *order_: Any, dims: Any = None
) -> Value:
    listed = dims or (order_[0] if len(order_) == 1 else order_)
    order = [int(d) for d in listed]
    rank = len(order)
    order = [d % rank for d in order]
    if order[0] != 0:
        raise NotUnderstood(f"{name}: permute moves the batch")
    return build.add(name, "permute", (x,), real, dims=tuple(d - 1 for d in order[1:]))


def transpose(build: Build, name: str, real: Tensor, x: Value, dim0: int, dim1: int) -> Value:
    order = list(range(len(build.shape(x)) + 1))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(build, name, real, x, order)


def concat(build: Build, name: str, real: Tensor, parts: Any, dim: int = 0) -> Value:
    if not all(isinstance(part, Value) for part in parts):
        raise NotUnderstood(f"{name}: a concatenation with weights or numbers")
    axis = dim % real.ndim - 1
    if len(parts) == 1:
        return build.add(name, "identity", tuple(parts), real)
    return build.add(name, "concat", tuple(parts), real, dim=axis)


def chunk(build: Build, name: str, real: Any, x: Value, *args: Any, **kwargs: Any) -> list[Value]:
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


def getitem(build: Build, name: str, real: Any, x: Any, index: Any) -> Any:
    """A part of a list, or the channels from a to b."""
    if not isinstance(x, Value):
        return x[index]
    listed = list(index) if isinstance(index, tuple) else [index]
    if listed and listed[0] is Ellipsis:
        listed = [slice(None)] * (len(build.shape(x)) + 2 - len(listed)) + listed[1:]
    if not all(isinstance(part, slice) and part.step in (None, 1) for part in listed):
        raise NotUnderstood(f"{name}: no rule for an index that is more than a:b")
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


def pad(
    build: Build, name: str, real: Tensor, x: Value, pad: Any, mode: str = "constant",
    value: float | None = None,
) -> Value:  # fmt: skip
    if mode != "constant" or len(pad) > 4:
        raise NotUnderstood(f"{name}: padding of mode {mode}")
    return build.add(name, "pad", (x,), real, pads=tuple(map(int, pad)), value=float(value or 0))


def pad_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return pad(build, name, real, x, m.padding, "constant", getattr(m, "value", 0))


def interpolate(
    build: Build, name: str, real: Tensor, x: Value, size: Any = None, scale_factor: Any = None,
    mode: str = "nearest", align_corners: Any = None, **_: Any,
) -> Value:  # fmt: skip
    before, after = build.shape(x)[-1], real.shape[-1]
    if mode not in ("nearest",) or after % before or align_corners:
        raise NotUnderstood(f"{name}: interpolation of mode {mode} by {after}/{before}")
    if after == before:
        return build.add(name, "identity", (x,), real)
    return build.add(name, "interpolate", (x,), real, scale=after // before, mode=mode)


def interpolate_module(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return interpolate(build, name, real, x, m.size, m.scale_factor, m.mode, m.align_corners)


def itself(build: Build, name: str, *given: Any, **_: Any) -> Any:
    """Of `contiguous`, dropout in eval mode and the like: what goes in."""
    return next(x for x in given if isinstance(x, Value))


def checked(build: Build, name: str, real: Any, *_: Any, **__: Any) -> Any:
    """An assertion holds for the example, and nothing is computed."""
    return real
