"""Kernels for networks that are pruned in blocks, as the engine of an exported folder runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nas.devices.backends.onnx_runtime import session_of
from search_spaces import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from supernets import Segment


def prepare_kernels(
    net: nn.Module, x: Tensor, precision: str, threads: int
) -> Callable[[], object]:
    """One session for each segment of `net`: kernels where it has blocks, ONNX Runtime elsewhere.

    InputError: no network of segments, a layer without a kernel, or packages are missing.
    """
    from supernets import Segment, StaticNet

    del precision  # one alone
    if not isinstance(net, StaticNet):
        raise InputError("`backend` kernels runs whole programs; measure operators with another")
    sessions, value = [], x[:1]
    for i, segment in enumerate(cast(Iterable[Segment], net.segments)):
        last = i == len(net.segments) - 1
        sessions.append(_session(segment, value, net.block_rows, threads, last=last))
        value = segment.trunk(value)
    image = np.ascontiguousarray(x.numpy())

    def run() -> list[np.ndarray]:
        given, answers = image, []
        for session in sessions:
            *features, logits = session.run(None, {"input": given})
            answers.append(logits)
            given = features[0] if features else given
        return answers

    return run


def _session(segment: Any, value: Tensor, g: int, threads: int, *, last: bool) -> Any:
    from torch import nn

    from supernets.kernels import is_pruned

    if not g or not is_pruned(segment):
        return _dense(segment, value, threads, last=last)
    net = nn.Sequential(segment.trunk, segment.head) if last else segment
    return program_session(net, tuple(value.shape[1:]), g, threads)


def program_session(net: nn.Module, shape: tuple[int, ...], g: int, threads: int = 1) -> Any:
    """`net` as calls of kernels, which answers as a session of ONNX Runtime does.

    Its zeros say its blocks of `g` rows; `shape` is (C, H, W). InputError: no kernels here, or none
    for a layer.
    """
    from nas.runtime.machine_code import NoKernels
    from nas.runtime.program import Kernels, ProgramSession
    from supernets.kernels import write_segment

    try:
        kernels = Kernels({}, {})
    except NoKernels as why:
        raise InputError(f"`backend` kernels cannot run here: {why}") from None
    numbers = [n for n in (1, 2, 4) if n <= threads]
    written = write_segment(net, shape, g, kinds=[kernels.kind], threads=numbers)
    kernels.texts, kernels.programs = written.texts, {"net": written.described}
    tensors = {name: tensor.numpy() for name, tensor in written.tensors.items()}
    return ProgramSession(kernels, "net", tensors, threads)


def _dense(segment: Segment, value: Tensor, threads: int, *, last: bool) -> Any:
    try:
        from nas.onnx.graph import segment_model
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed: pip install 'nas[export]' for ONNX backends"
        ) from None
    return session_of(segment_model(segment, value, last=last, half=False)[0], threads)
