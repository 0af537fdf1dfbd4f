"""ONNX graphs of static nets and of their segments, built layer by layer.

Opset 13 and IR 7, which TensorRT 8.2 of JetPack 4.6 reads as well as later ones
(docs.nvidia.com/deeplearning/tensorrt/archives, support matrices). The batch is dynamic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, fx, nn

from nas.onnx.nodes import Nodes
from nas.onnx.operations import batch_norm, factors, hard_sigmoid, layer_norm, operation
from nas.onnx.traced import add_module, add_traced
from search_spaces import InputError
from supernets import (
    GlobalMean,
    PoolTo,
    Residual,
    Segment,
    SqueezeExcite,
    StaticNet,
    Stored,
)
from supernets.traced import Factors, Operation, Wired

OPSET, IR_VERSION = 13, 7


class Builder(Nodes):
    """The graph of layers, one behind the other."""

    def layer(self, module: nn.Module, x: str, value: Tensor) -> tuple[str, Tensor]:
        """Add `module` behind the tensor `x`, which has the example `value`."""
        if isinstance(module, nn.Sequential):
            for child in module:
                x, value = self.layer(child, x, value)
            return x, value
        if isinstance(module, Residual):
            body, result = self.layer(module.body, x, value)
            shortcut, skipped = self.layer(module.shortcut, x, value)
            return self.node("Add", body, shortcut), result + skipped
        if isinstance(module, fx.GraphModule):
            return add_traced(self, module, x, value)
        if isinstance(module, Wired):
            return self._wired(module, x, value)
        if type(module) not in LAYERS:
            return add_module(self, module, x, value)
        return LAYERS[type(module)](self, module, x, value), module(value)

    def _wired(self, module: Wired, x: str, value: Tensor) -> tuple[str, Tensor]:
        """Layers that read several values."""
        made = [(x, value)]
        for layer, inputs in zip(module.layers, module.inputs, strict=True):
            names, values = zip(*(made[i] for i in inputs), strict=True)
            if isinstance(layer, Operation):
                made.append((operation(self, layer, names, values), layer(*values)))
            else:
                made.append(self.layer(layer, names[0], values[0]))
        return made[module.output]


def _conv(build: Builder, module: Any, x: str, value: Tensor) -> str:
    weights = [build.weight(module.weight)]
    if module.bias is not None:
        weights.append(build.weight(module.bias))
    return build.node(
        "Conv",
        x,
        *weights,
        kernel_shape=list(module.kernel_size),
        strides=list(module.stride),
        pads=_conv_pads(module),
        dilations=list(module.dilation),
        group=module.groups,
    )


def _conv_pads(module: nn.Conv2d) -> list[int]:
    """Zeros above and left, below and right."""
    if module.padding_mode != "zeros":
        raise InputError(f"cannot export a convolution with `padding_mode` {module.padding_mode}")
    if module.padding == "valid":
        return [0] * 4
    if module.padding == "same":  # an odd zero goes to the end, as in torch
        sides = zip(module.dilation, module.kernel_size, strict=True)
        total = [d * (k - 1) for d, k in sides]
        return [*(n // 2 for n in total), *(n - n // 2 for n in total)]
    return _pair(module.padding) * 2


def _pair(sides: Any) -> list[int]:
    """Of rows and columns, as torch's layers have it: one number for both, or two."""
    return [sides, sides] if isinstance(sides, int) else list(sides)


def _linear(build: Builder, module: Any, x: str, value: Tensor) -> str:
    if value.ndim > 2:  # of a map with its channels last
        weight = build.node("Transpose", build.weight(module.weight), perm=[1, 0])
        product = build.node("MatMul", x, weight)
        return (
            product
            if module.bias is None
            else build.node("Add", product, build.weight(module.bias))
        )
    weights = [build.weight(module.weight)]
    if module.bias is not None:
        weights.append(build.weight(module.bias))
    return build.node("Gemm", x, *weights, transB=1)


def _relu6(build: Builder, module: Any, x: str, value: Tensor) -> str:
    return build.node("Clip", x, *(build.weight(torch.tensor(bound)) for bound in (0.0, 6.0)))


def _adaptive_pool(build: Builder, module: Any, x: str, value: Tensor) -> str:
    if module.output_size not in (1, (1, 1)):
        raise InputError(f"cannot export adaptive pooling to {module.output_size}, only to 1")
    return build.node("GlobalAveragePool", x)


def _squeeze_excite(build: Builder, module: Any, x: str, value: Tensor) -> str:
    mean = value.mean(dim=(2, 3), keepdim=True)
    y = _conv(build, module.reduce, build.node("GlobalAveragePool", x), mean)
    y = _conv(build, module.expand, build.node("Relu", y), mean)
    return build.node("Mul", x, hard_sigmoid(build, y))


def _pool_to(build: Builder, module: Any, x: str, value: Tensor) -> str:
    factor = value.shape[-1] // module.side
    if factor <= 1:
        return x
    return build.node("AveragePool", x, kernel_shape=[factor] * 2, strides=[factor] * 2)


def _average_pool(build: Builder, module: Any, x: str, value: Tensor) -> str:
    if module.divisor_override is not None:
        raise InputError("cannot export average pooling with `divisor_override`")
    windows = _windows(module)
    if module.padding:
        windows |= {"pads": _pair(module.padding) * 2}
        windows |= {"count_include_pad": int(module.count_include_pad)}
    return build.node("AveragePool", x, **windows)


def _max_pool(build: Builder, module: Any, x: str, value: Tensor) -> str:
    windows, dilations = _windows(module), _pair(module.dilation)
    if dilations != [1, 1]:
        windows |= {"dilations": dilations}
    return build.node("MaxPool", x, pads=_pair(module.padding) * 2, **windows)


def _windows(module: Any) -> dict[str, Any]:
    """What both poolings have."""
    sides, strides = _pair(module.kernel_size), _pair(module.stride)
    return {"kernel_shape": sides, "strides": strides, "ceil_mode": int(module.ceil_mode)}


LAYERS: dict[type[nn.Module], Callable[[Builder, Any, str, Tensor], str]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.ReLU: lambda build, module, x, value: build.node("Relu", x),
    nn.Hardswish: lambda build, module, x, value: build.node("Mul", x, hard_sigmoid(build, x)),
    nn.ReLU6: _relu6,
    nn.Identity: lambda build, module, x, value: x,
    nn.Dropout: lambda build, module, x, value: x,
    nn.Flatten: lambda build, module, x, value: build.node("Flatten", x),
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.AvgPool2d: _average_pool,
    nn.MaxPool2d: _max_pool,
    GlobalMean: lambda build, module, x, value: build.node(
        "Flatten", build.node("GlobalAveragePool", x)
    ),
    PoolTo: _pool_to,
    SqueezeExcite: _squeeze_excite,
    nn.BatchNorm2d: batch_norm,
    nn.LayerNorm: layer_norm,
    Factors: factors,
    Stored: lambda build, module, x, value: build.node(
        module.kind.capitalize(), x, build.weight(module.value)
    ),
}


@torch.inference_mode()
def segment_model(
    segment: Segment, example: Tensor, *, last: bool, half: bool
) -> tuple[onnx.ModelProto, Tensor]:
    """The ONNX model of a folded segment, and what it makes of `example` (1, C, H, W).

    Input `input`; outputs `features` (not of the last segment) and `logits`, all float32 and with a
    dynamic batch; with `half` everything between them is float16.
    """
    build = Builder(half=half)
    x = build.node("Cast", "input", to=TensorProto.FLOAT16) if half else "input"
    features, value = build.layer(segment.trunk, x, example)
    logits, answer = build.layer(segment.head, features, value)
    kept = [("features", features, value)] * (not last) + [("logits", logits, answer)]
    return _model(build, example, kept), value


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` itself with its weights declared and left out: whoever runs it brings them.

    ONNX Runtime takes them by name (`SessionOptions.add_external_initializers`).
    """
    for weight in model.graph.initializer:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="shared")
    return model


@torch.inference_mode()
def program_model(net: nn.Module, example: Tensor, *, half: bool) -> onnx.ModelProto:
    """The ONNX model of all of `net`, for inputs like `example` (1, ...).

    Input `input`; outputs `logits0`, ... of a StaticNet's exits, `logits0` of any other network.
    """
    build = Builder(half=half)
    x = build.node("Cast", "input", to=TensorProto.FLOAT16) if half else "input"
    value, kept = example, list[tuple[str, str, Tensor]]()
    for segment in net.segments if isinstance(net, StaticNet) else [Segment(net, nn.Identity())]:
        assert isinstance(segment, Segment)
        x, value = build.layer(segment.trunk, x, value)
        logits, answer = build.layer(segment.head, x, value)
        kept.append((f"logits{len(kept)}", logits, answer))
    return _model(build, example, kept)


def _model(build: Builder, example: Tensor, kept: list[tuple[str, str, Tensor]]) -> onnx.ModelProto:
    """The checked model of what `build` holds; `kept` are the outputs: name, node, example."""
    for name, found, _ in kept:
        if build.dtype == np.float16:
            build.node("Cast", found, name=name, to=TensorProto.FLOAT)
        else:
            build.node("Identity", found, name=name)
    outputs = [_described(name, tensor) for name, _, tensor in kept]
    graph = helper.make_graph(
        build.nodes, "segment", [_described("input", example)], outputs, build.weights
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as fault:
        reason = " ".join(str(fault).split())[:200]
        raise InputError(f"this network makes no valid ONNX graph: {reason}") from None
    return model


def _described(name: str, example: Tensor) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *example.shape[1:]])
