"""Graphs with int8 weights and activations, by ONNX Runtime's static quantisation.

Weights have a scale per output channel, activations one per tensor, from the smallest to the
largest value that the calibration images make (Jacob et al., 2018, arXiv:1712.05877). Inputs and
outputs stay float32. Activations are unsigned, which an x86 CPU with VNNI multiplies two to three
times as fast; one without it adds products in 16 bits, which may overflow
(onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Weights of seven bits would
not overflow; they cost half a point of accuracy where that was tried (docs/howto.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 32  # calibration images that are run together


def quantised(model: Any, images: NDArray[np.float32]) -> Any:
    """`model` in int8, calibrated on `images` (N, C, H, W)."""
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            starts = range(0, len(images), BATCH)
            self.left: Iterator[Any] = iter({"input": images[i : i + BATCH]} for i in starts)

        def get_next(self) -> Any:
            return next(self.left, None)

    with TemporaryDirectory() as folder, quiet_logs():
        whole, small = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, whole)  # a model in memory would be changed
        quantize_static(
            *(whole, small, Batches()),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            per_channel=True,
        )
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
