"""PyTorch on the CPU: operator by operator, and compiled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from search_spaces import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextmanager
def inference(threads: int) -> Iterator[None]:
    """Inference mode with `threads` threads inside operators."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def prepare_eager(net: nn.Module, x: Tensor, precision: str, threads: int) -> Callable[[], object]:
    """`net` on `x`, one operator after the other, in channels-last memory."""
    del threads  # set for all of PyTorch
    net, x = _runnable(net, x, precision)
    return lambda: net(x)


def prepare_compiled(
    net: nn.Module, x: Tensor, precision: str, threads: int
) -> Callable[[], object]:
    """`net` through `torch.compile` for the shape of `x`; needs a C++ compiler.

    Traces of earlier networks are dropped first: past a limit of them PyTorch would quietly run
    operator by operator.
    """
    import torch

    del threads
    net, x = _runnable(net, x, precision)
    torch.compiler.reset()
    compiled = torch.compile(net, fullgraph=True, dynamic=False)
    try:
        compiled(x)
    except Exception as error:  # whatever the compiler's back end raises
        reason = str(error).strip().splitlines()[0]
        if not any(map(shutil.which, ("g++", "c++", "clang++"))):
            reason = "there is no C++ compiler"
        raise InputError(
            f"torch.compile failed: {reason}; install a C++ compiler (g++ or clang++) or use "
            "`backend` pytorch"
        ) from None
    return lambda: compiled(x)


def _runnable(net: nn.Module, x: Tensor, precision: str) -> tuple[nn.Module, Tensor]:
    """Network and input in `precision` and channels-last; InputError where they do not run."""
    import torch

    kind = {"fp32": torch.float32, "fp16": torch.float16}[precision]
    last = torch.channels_last if x.dim() == 4 else torch.contiguous_format
    net = net.to(dtype=kind, memory_format=last)  # type: ignore[call-overload]
    x = x.to(dtype=kind).contiguous(memory_format=last)
    try:
        net(x)
    except RuntimeError as error:  # for example "not implemented for 'Half'"
        reason = str(error).splitlines()[0]
        raise InputError(f"pytorch cannot run {precision} on this CPU: {reason}") from None
    return net, x
