"""ONNX Runtime on the CPU: fp32, fp16 as the graph says, int8 by static quantisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
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
        model = quantised(model, images.shape[1:])
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


def quantised(model: Any, shape: tuple[int, ...]) -> Any:
    """`model` with int8 weights and activations, calibrated on random inputs of `shape`."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class RandomInputs(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            drawn = rng.standard_normal((N_CALIBRATION, 1, *shape), dtype=np.float32)
            self.left: Iterator[Any] = iter({"input": image} for image in drawn)

        def get_next(self) -> Any:
            return next(self.left, None)

    with TemporaryDirectory() as folder, quiet_logs():
        whole, small = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, whole)  # a model in memory would be changed
        kind = QuantFormat.QDQ
        quantize_static(whole, small, RandomInputs(), quant_format=kind, per_channel=True)
        return onnx.load(small)


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Without the advice on preprocessing, which folded graphs do not need."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
