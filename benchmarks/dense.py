"""Dense convolutions and whole networks as others run them, and what this core can do at most."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import onnxruntime
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.onnx.graph import segment_model
from supernets import GlobalMean, Segment
from supernets.kernels import PackedConv2d, pack
from supernets.kernels.sparse import ALIGNED
from supernets.kernels.text import Code, Text, vector
from supernets.kernels.translate import address, processor

Run = Callable[[], object]


def dense_runs(conv: nn.Conv2d, x: Tensor) -> dict[str, Run]:
    """Convolution, bias and ReLU of `x` by every library, weights laid out before."""
    weight, bias = conv.weight.detach().contiguous(), conv.bias.detach()
    steps = list(conv.padding), list(conv.stride), [1, 1], 1
    last_x, last = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    blocked_x = x.to_mkldnn()
    blocked = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), *steps)
    packed = torch.ops.mkldnn._reorder_convolution_weight(last, *steps, list(x.shape))
    fused = torch.ops.mkldnn._convolution_pointwise

    def unfused(value: Tensor, weights: Tensor) -> Run:
        return lambda: torch.relu_(F.conv2d(value, weights, bias, conv.stride, conv.padding))

    return {
        "torch_nchw": unfused(x.contiguous(), weight),
        "torch_channels_last": unfused(last_x, last),
        "onednn_blocked": lambda: torch.relu_(
            torch.mkldnn_convolution(blocked_x, blocked, bias, *steps)
        ),
        "onednn_fused": lambda: fused(last_x, packed, bias, *steps, "relu", [], ""),
        "onnx_runtime": onnx_run(nn.Sequential(conv, nn.ReLU()), nn.Identity(), x),
        "own": own_dense(conv, x),
    }


def own_dense(conv: nn.Conv2d, x: Tensor, g: int = 4) -> Run:
    """Our kernel with every block, at aligned starts."""
    weight = conv.weight.detach().contiguous().numpy()
    rows, columns = len(weight), weight[0].size
    starts = np.zeros((rows - g + 1, columns), dtype=bool)
    starts[::g] = True
    packed = pack("dense", weight, starts, g, conv.bias.detach().numpy())
    stride, padding = int(conv.stride[0]), int(cast(tuple[int, int], conv.padding)[0])
    layer = PackedConv2d(packed, stride=stride, padding=padding, low=0.0, walk=ALIGNED)
    return lambda: layer(x)


def onnx_run(trunk: nn.Module, head: nn.Module, x: Tensor, wanted: str = "features") -> Run:
    """ONNX Runtime on one thread, with all its optimisations; only `wanted` is computed."""
    if isinstance(head, nn.Identity):
        head = nn.Sequential(GlobalMean())  # our graphs end with a head
    model, _ = segment_model(Segment(trunk, head), x, last=wanted == "logits", half=False)
    outputs = [out for out in model.graph.output if out.name == wanted]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    bound = session.io_binding()
    bound.bind_cpu_input("input", x.numpy())
    bound.bind_output(wanted)
    return lambda: session.run_with_iobinding(bound)


def block_formats(weight: Any, x: Tensor, g: int) -> dict[str, Run]:
    """Products of an aligned pruned weight (rows, columns) in the sparse formats of libraries.

    torch's own blocks must be square on a CPU, so its rows are single weights.
    """
    pixels = x.reshape(weight.shape[1], -1)
    bsr = scipy.sparse.bsr_matrix(weight, blocksize=(g, 1))
    csr = torch.from_numpy(weight).to_sparse_csr()
    array = pixels.numpy()
    return {"scipy_bsr": lambda: bsr @ array, "torch_csr": lambda: csr @ pixels}


def peak_text(n_sums: int = 12, rounds: int = 4) -> str:
    """A loop of multiplications and additions in registers alone."""
    t, width = Text("@kernel(i64 %n, ptr %out)"), processor().vector
    kind = vector(width)
    seed = t.splat(t.load("float", "%out"), width)
    sums = [t.slot(kind, seed) for _ in range(n_sums)]
    with t.loop(0, "%n"):
        for _ in range(rounds):
            for slot in sums:
                t.do(f"store {kind} {t.fused(t.get(slot, kind), seed, seed, width)}, ptr {slot}")
    for i, slot in enumerate(sums):
        t.store(kind, t.get(slot, kind), t.at("%out", i * width, "float"))
    return t.end()


def peak_run(n: int = 20_000) -> tuple[Run, float]:
    """The loop, and its floating-point operations."""
    out = np.full(12 * 16, 1e-9, dtype=np.float32)
    call = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(address(Code(peak_text)))
    return lambda: call(n, out.ctypes.data), 2.0 * 12 * 4 * n * processor().vector
