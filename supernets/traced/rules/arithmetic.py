"""Rules for arithmetic and activations, value by value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from supernets.traced.calls import Build, NotUnderstood, Value, Weight

Rule = Callable[..., Any]


def of_two(kind: str) -> Rule:
    """The rule of an operation of two values, or of a value with a number or a weight."""

    def rule(
        build: Build, name: str, real: Tensor, a: Any, other: Any, alpha: float = 1, **_: Any
    ) -> Value:
        if alpha != 1:
            raise NotUnderstood(f"{name}: {kind} with a factor")
        if isinstance(a, Value) and isinstance(other, Value):
            return build.add(name, kind, (a, other), real)
        value, other = (a, other) if isinstance(a, Value) else (other, a)
        if isinstance(other, Weight):
            return factors(build, name, kind, real, value, other)
        if isinstance(other, int | float) and (value is a or kind in ("add", "mul")):
            return build.add(name, kind, (value,), real, other=float(other))
        raise NotUnderstood(f"{name}: {kind} of a {type(other).__name__}")

    return rule


def factors(
    build: Build, name: str, kind: str, real: Tensor, value: Value, weight: Weight
) -> Value:
    """A weight that is added to a value, or multiplies it, with a number for each channel."""
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


def addcmul(
    build: Build, name: str, real: Tensor, start: Any, a: Any, b: Any, *, value: float = 1
) -> Value:
    """`start + a * b`, where one factor, and perhaps the start, are weights."""
    if value != 1:
        raise NotUnderstood(f"{name}: addcmul with a factor")
    product = of_two("mul")(build, f"{name}.mul", real, a, b)
    made: Value = of_two("add")(build, name, real, product, start)
    return made


def elementwise(kind: str, **names: tuple[str, Any]) -> tuple[Rule, Rule]:
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


RELU, RELU6 = elementwise("relu"), elementwise("relu6")
LEAKY = elementwise("leaky_relu", slope=("negative_slope", 0.01))
ELU, SILU = elementwise("elu", alpha=("alpha", 1.0)), elementwise("silu")
GELU = elementwise("gelu", approximate=("approximate", "none"))
SIGMOID, TANH = elementwise("sigmoid"), elementwise("tanh")
HARDSWISH, HARDSIGMOID = elementwise("hardswish"), elementwise("hardsigmoid")
MISH, SOFTPLUS = elementwise("mish"), elementwise("softplus")


def clamp(
    build: Build, name: str, real: Tensor, x: Value,
    min: float | None = None, max: float | None = None,
) -> Value:  # fmt: skip
    return build.add(name, "clamp", (x,), real, low=min, high=max)


def hardtanh(build: Build, name: str, m: Any, real: Tensor, x: Value) -> Value:
    return build.add(name, "clamp", (x,), real, low=m.min_val, high=m.max_val)
