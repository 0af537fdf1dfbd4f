"""What runs a network on this machine: one function per backend that times it.

A backend takes a plain network in eval mode and an example input `x` (N, C, H, W), whose first
dimension is the batch, and returns the milliseconds of every call. What the machine lacks ends in
one line that says what to install.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nas.devices.backends.kernels import prepare_kernels
from nas.devices.backends.onnx_runtime import prepare_onnxruntime
from nas.devices.backends.pytorch import inference, prepare_compiled, prepare_eager
from nas.devices.backends.tensorrt import time_tensorrt
from nas.devices.names import meant
from nas.devices.timing import Times, pinned, time_calls
from search_spaces import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

Prepare = Callable[["nn.Module", "Tensor", str, int], Callable[[], object]]


class TimeNetwork(Protocol):
    """What times a network on images `x`, as long as `seconds` say."""

    def __call__(
        self, net: nn.Module, x: Tensor, *, precision: str, threads: int, seconds: float
    ) -> Times: ...


@dataclass(frozen=True)
class Backend:
    """How to time a network, on which processor, in which precisions."""

    processor: str
    precisions: tuple[str, ...]
    time: TimeNetwork


def in_process(prepare: Prepare) -> TimeNetwork:
    """Time the function that `prepare` returns, on pinned cores."""

    def time(net: nn.Module, x: Tensor, *, precision: str, threads: int, seconds: float) -> Times:
        with inference(threads):
            run = prepare(net, x, precision, threads)
            with pinned(threads):
                return time_calls(run, seconds=seconds)

    return time


BACKENDS = {
    "pytorch": Backend("cpu", ("fp32", "fp16"), in_process(prepare_eager)),
    "pytorch-compiled": Backend("cpu", ("fp32", "fp16"), in_process(prepare_compiled)),
    "onnxruntime": Backend("cpu", ("fp32", "fp16", "int8"), in_process(prepare_onnxruntime)),
    "kernels": Backend("cpu", ("fp32",), in_process(prepare_kernels)),
    "tensorrt": Backend("gpu", ("fp32", "fp16", "int8"), time_tensorrt),
}


def get_backend(name: str, precision: str) -> Backend:
    """The backend `name`; InputError lists the names, or the precisions it has."""
    if name not in BACKENDS:
        raise InputError(
            f"unknown backend {name!r}; host has {', '.join(BACKENDS)}{meant(name, BACKENDS)}"
        )
    found = BACKENDS[name]
    if precision not in found.precisions:
        raise InputError(
            f"unknown precision {precision!r}; {name} has {', '.join(found.precisions)}"
        )
    return found


__all__ = ["BACKENDS", "Backend", "get_backend"]
