"""ONNX Runtime on the CPU: fp32, fp16 as the graph says, int8 by static quantisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

N_CALIBRATION = 8  # random inputs that the ranges of int8 are taken from


def onnx_model(net: nn.Module, x: Tensor, *, half: bool) -> Any:
    """`net` as one ONNX graph; InputError where the packages are missing."""
    try:
        from nas.onnx.graph import program_model
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed: pip install 'nas[export]' for ONNX backends"
        ) from None
    return program_model(net, x[:1], half=half)


def prepare_onnxruntime(
    net: nn.Module, x: Tensor, precision: str, threads: int
) -> Callable[[], object]:
    """A session for `net` on `x`.

    The ranges of int8 come from random data: the time is that of a quantised network, its answers
    are not. Where the CPU provider has no fp16 kernel, it computes in fp32 between casts.
    """
    model = onnx_model(net, x, half=precision == "fp16")
    images = np.ascontiguousarray(x.numpy())
    if precision == "int8":
        from nas.onnx.int8 import quantised

        shape = N_CALIBRATION, *images.shape[1:]
        drawn = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        model = quantised(model, drawn)
    session = session_of(model, threads)
    return lambda: session.run(None, {"input": images})


def session_of(model: Any, threads: int) -> Any:
    """A session for an ONNX graph; InputError where ONNX Runtime is missing."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError("onnxruntime is not installed: pip install 'nas[export]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
