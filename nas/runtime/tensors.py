"""Safetensors with numpy alone: arrays that stay on disk until they are read.

Eight bytes hold the length of a JSON header, which gives every tensor's type, shape and place;
the tensors follow (huggingface.co/docs/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from .checks import ManifestError
from .files import plain_size

TYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "U8": np.uint8, "I64": np.int64}
MAX_HEADER = 1 << 26  # bytes
MAX_BYTES = 1 << 33  # mapped, not read


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """The tensors of a file by name, mapped and read-only.

    ManifestError: no such file, a header or a tensor that cannot be.
    """
    try:
        plain_size(path, MAX_BYTES)
        data = np.memmap(path, np.uint8, "r")
        start = 8 + int.from_bytes(data[:8].tobytes(), "little")
        if not 8 < start <= min(len(data), MAX_HEADER):
            raise ValueError("its header is cut off")
        header = _header(data[8:start].tobytes())
        header.pop("__metadata__", None)
        return {name: _tensor(data[start:], entry) for name, entry in header.items()}
    except FileNotFoundError:
        raise ManifestError(f"{path} is missing; copy the whole exported folder") from None
    except (OSError, ArithmeticError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ManifestError(
            f"{path} is no readable file of tensors: {str(error)[:80]}; copy it again"
        ) from None


def _header(data: bytes) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads(data.decode())
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    return header


def _tensor(data: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    """The array of one header entry."""
    dtype, (begin, end) = np.dtype(TYPES[entry["dtype"]]), entry["data_offsets"]
    shape = [int(side) for side in entry["shape"]]
    if not 0 <= begin <= end <= len(data) or min(shape, default=0) < 0:
        raise ValueError("a tensor lies outside of it")
    if end - begin != dtype.itemsize * math.prod(shape):
        raise ValueError("a tensor has another size than its shape")
    # a copy where the file does not align it
    part = data[begin:end]
    whole = part if begin % dtype.itemsize == 0 else part.copy()
    return np.asarray(whole.view(dtype).reshape(shape))
