"""What the calls of a network mean: torch's modules, functions and methods as operations of ours.

A rule writes one operation down and returns its number. It gets where to write (`build`), the
call's qualified name, for a module the module itself, what the call made of an example (`real`,
with the batch), and then the call's own arguments, which keep torch's names. What is in none of the
tables is refused by its name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from supernets.traced.calls import Build, NotUnderstood
from supernets.traced.rules import arithmetic, pooling, shapes, weights
from supernets.traced.rules.arithmetic import Rule

FIRST = "input", "tensors"  # what torch calls the first argument of its functions
ADD, SUB, MUL, DIV = map(arithmetic.of_two, ("add", "sub", "mul", "div"))

MODULES: dict[type[nn.Module], Rule] = {
    nn.Conv2d: weights.conv_module,
    nn.Linear: weights.linear_module,
    nn.BatchNorm2d: weights.norm_module,
    nn.LayerNorm: weights.layer_norm_module,
    nn.AvgPool2d: pooling.avg_pool_module,
    nn.MaxPool2d: pooling.max_pool_module,
    nn.AdaptiveAvgPool2d: pooling.adaptive_avg_pool_module,
    nn.AdaptiveMaxPool2d: lambda build, name, m, real, x: pooling.adaptive_max_pool(
        build, name, real, x
    ),
    nn.Flatten: shapes.reshape_module,
    nn.Unflatten: shapes.reshape_module,
    nn.ZeroPad2d: shapes.pad_module,
    nn.ConstantPad2d: shapes.pad_module,
    nn.Upsample: shapes.interpolate_module,
    nn.Identity: shapes.itself,
    nn.Dropout: shapes.itself,
    nn.Dropout2d: shapes.itself,
    nn.ReLU: arithmetic.RELU[0],
    nn.ReLU6: arithmetic.RELU6[0],
    nn.LeakyReLU: arithmetic.LEAKY[0],
    nn.ELU: arithmetic.ELU[0],
    nn.SiLU: arithmetic.SILU[0],
    nn.GELU: arithmetic.GELU[0],
    nn.Sigmoid: arithmetic.SIGMOID[0],
    nn.Tanh: arithmetic.TANH[0],
    nn.Hardswish: arithmetic.HARDSWISH[0],
    nn.Hardsigmoid: arithmetic.HARDSIGMOID[0],
    nn.Hardtanh: arithmetic.hardtanh,
    nn.Mish: arithmetic.MISH[0],
    nn.Softplus: arithmetic.SOFTPLUS[0],
}

FUNCTIONS: dict[Callable[..., Any], Rule] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add), ADD),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), SUB),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), MUL),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), DIV),
    F.conv2d: weights.conv,
    torch.conv2d: weights.conv,
    F.linear: weights.linear,
    F.batch_norm: weights.batch_norm,
    F.layer_norm: weights.layer_norm,
    F.avg_pool2d: pooling.avg_pool,
    F.max_pool2d: pooling.max_pool,
    torch.max_pool2d: pooling.max_pool,
    F.adaptive_avg_pool2d: pooling.adaptive_avg_pool,
    F.adaptive_max_pool2d: pooling.adaptive_max_pool,
    torch.mean: pooling.reduce("mean"),
    torch.amax: pooling.reduce("amax"),
    torch.addcmul: arithmetic.addcmul,
    torch.flatten: shapes.reshape,
    torch.reshape: shapes.reshape,
    torch.squeeze: shapes.reshape,
    torch.unsqueeze: shapes.reshape,
    torch.permute: shapes.permute,
    torch.transpose: shapes.transpose,
    **dict.fromkeys((torch.cat, torch.concat), shapes.concat),
    **dict.fromkeys((torch.chunk, torch.split), shapes.chunk),
    operator.getitem: shapes.getitem,
    F.pad: shapes.pad,
    F.interpolate: shapes.interpolate,
    **dict.fromkeys((F.dropout, F.dropout2d), shapes.itself),
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_), arithmetic.RELU[1]),
    F.relu6: arithmetic.RELU6[1],
    F.leaky_relu: arithmetic.LEAKY[1],
    F.elu: arithmetic.ELU[1],
    F.silu: arithmetic.SILU[1],
    F.gelu: arithmetic.GELU[1],
    **dict.fromkeys((torch.sigmoid, F.sigmoid), arithmetic.SIGMOID[1]),
    **dict.fromkeys((torch.tanh, F.tanh), arithmetic.TANH[1]),
    F.hardswish: arithmetic.HARDSWISH[1],
    F.hardsigmoid: arithmetic.HARDSIGMOID[1],
    F.hardtanh: lambda build, name, real, x, min_val=-1.0, max_val=1.0, inplace=False: (
        arithmetic.clamp(build, name, real, x, min_val, max_val)
    ),
    F.mish: arithmetic.MISH[1],
    F.softplus: arithmetic.SOFTPLUS[1],
    torch.clamp: arithmetic.clamp,
    torch._assert: shapes.checked,
}

METHODS: dict[str, Rule] = {
    **dict.fromkeys(("add", "add_"), ADD),
    **dict.fromkeys(("sub", "sub_"), SUB),
    **dict.fromkeys(("mul", "mul_"), MUL),
    **dict.fromkeys(("div", "div_"), DIV),
    **dict.fromkeys(
        ("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"), shapes.reshape
    ),
    "permute": shapes.permute,
    "transpose": shapes.transpose,
    **dict.fromkeys(("contiguous", "clone", "float", "expand_as"), shapes.itself),
    **dict.fromkeys(("chunk", "split"), shapes.chunk),
    "mean": pooling.reduce("mean"),
    "amax": pooling.reduce("amax"),
    "norm": pooling.norm,
    **dict.fromkeys(("relu", "relu_"), arithmetic.RELU[1]),
    **dict.fromkeys(("sigmoid", "sigmoid_"), arithmetic.SIGMOID[1]),
    **dict.fromkeys(("tanh", "tanh_"), arithmetic.TANH[1]),
    **dict.fromkeys(("clamp", "clamp_"), arithmetic.clamp),
}


def apply(
    rule: Rule,
    build: Build,
    name: str,
    known: Sequence[Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """What `rule` makes of a call `name`; NotUnderstood where it does not know its arguments.

    `known` is what comes before the call's own arguments: its module, if it has one, its result.
    """
    first = [kwargs[key] for key in FIRST if key in kwargs]  # as in torch.relu(input=x)
    named = {key: value for key, value in kwargs.items() if key not in FIRST}
    try:
        return rule(build, name, *known, *first, *args, **named)
    except TypeError:
        raise NotUnderstood(f"{name}: no rule for these arguments") from None
