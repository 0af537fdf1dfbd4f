"""Whole networks as tables of calls, run as a board runs them, against torch."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.runtime import machine_code
from nas.runtime.program import REMEMBERED, TRIED_EVERY, Kernels, ProgramSession
from search_spaces import InputError
from supernets.kernels import pack_zeros, write_program, write_segment
from supernets.pruning import prunable, select_network
from supernets.pruning.blocks import block_mask, covering_blocks
from supernets.pruning.network import weight_mask
from tests.supernets.mobilenet_v2 import digits

pytest.importorskip("llvmlite")
OWN = machine_code.processor_kind()[0]


def session(net: nn.Module, shape: tuple[int, ...], kind: str, threads: int) -> ProgramSession:
    """`net` as an exported folder runs it, on a processor of `kind`."""
    numbers = sorted({1, threads})
    written = write_segment(net, shape, 4, kinds=[kind], threads=numbers)
    kernels = Kernels(written.texts, {"graph": written.described})
    kernels.kind = kind
    tensors = {name: tensor.numpy() for name, tensor in written.tensors.items()}
    return ProgramSession(kernels, "graph", tensors, threads)


def zeroed(net: nn.Module) -> nn.Module:
    """`net` with three quarters of its weights zero, in blocks, and norms that change something."""
    torch.manual_seed(0)
    convolutions = prunable(net, 4)
    for name, starts in select_network(convolutions, 4, 0.75).items():
        weight = convolutions[name].weight
        weight.data *= weight_mask(starts, 4, weight)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return net.eval()


@torch.inference_mode()
@pytest.mark.parametrize(("kind", "threads"), [(OWN, 1), (OWN, 2), ("sse", 4)])
def test_a_network_answers_as_torch_does(kind: str, threads: int) -> None:
    """Several images, and several runs: what a run leaves in the memory does no harm."""
    if kind != OWN and OWN == "neon":
        pytest.skip("another processor")
    net, x = zeroed(digits()), torch.randn(2, 1, 12, 12)
    ready = session(net, (1, 12, 12), kind, threads)
    ready.ways = ready.ways[-1:]
    assert len(ready.ways[0].calls) == threads
    for images in (x, x.flip(0)):
        (found,) = ready.run(None, {"input": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), net(images), rtol=1e-4, atol=1e-5)


FUNCTION = """
define i64 @k(i64 %n) {
entry:
  %more = add i64 %n, 1
  ret i64 %more
}
"""


def test_a_broken_file_of_the_cache_is_made_anew(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    features = machine_code.processor_kind()[1]

    def answer() -> int:
        code = machine_code.MachineCode([FUNCTION], features)
        return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(code.address("k"))(6)

    assert answer() == 7
    (file,) = (tmp_path / "nas" / "kernels").iterdir()
    whole = file.read_bytes()
    for broken in (b"", whole[:-1], whole[:40] + b"?" + whole[41:]):
        file.write_bytes(broken)
        assert answer() == 7
        assert file.read_bytes() == whole


def test_an_old_llvmlite_is_one_line(monkeypatch) -> None:
    monkeypatch.setattr("llvmlite.__version__", "0.41.1")
    with pytest.raises(machine_code.NoKernels, match=r"llvmlite 0\.41\.1 is older than 0\.44; pip"):
        machine_code.processor_kind()


def test_several_threads_compute_where_they_were_faster() -> None:
    ready = session(zeroed(digits()), (1, 12, 12), OWN, 2)
    one, two = ready.ways
    for slow, fast in ((one, two), (two, one)):
        slow.times.extend([2.0] * REMEMBERED)
        fast.times.extend([1.0] * REMEMBERED)
        assert ready._chosen() is fast
    ready._n_images = TRIED_EVERY - 1
    assert ready._chosen() is two


def test_what_has_no_kernel_is_named() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
    with pytest.raises(InputError, match="2: no kernel for MaxPool2d"):
        write_program(pack_zeros(net, 4), (3, 8, 8), "sse")
    for kind in ("cat", "add"):  # the second of maps of other sizes
        with pytest.raises(InputError, match=f"{kind}: no kernel for {kind}"):
            write_program(pack_zeros(Branches(kind), 4), (3, 8, 8), "sse")


class Branches(nn.Module):
    """Two convolutions, one of them behind a pool, and what becomes of both; or that one alone."""

    def __init__(self, kind: str = ""):
        super().__init__()
        self.kind, self.one, self.other = kind, nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.one(x)
        y = self.other(self.pool(x))
        if self.kind:
            return torch.cat([x, x]) if self.kind == "cat" else x + y
        return y.flatten(1)


@torch.inference_mode()
def test_a_layer_behind_a_pool_to_one_pixel_answers_as_torch_does() -> None:
    net, x = zeroed(Branches()), torch.randn(1, 3, 8, 8)
    (found,) = session(net, (3, 8, 8), OWN, 1).run(None, {"input": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("g", [1, 3, 4])
def test_blocks_are_found_again_in_zeros(g: int) -> None:
    """Every selection is covered by as many blocks, wherever they started."""
    rng = np.random.default_rng(g)
    for rows in (g, 2 * g + 1, 13):
        starts = np.zeros((rows - g + 1, 40), dtype=bool)
        for column in starts.T:
            row = int(rng.integers(0, g + 1))
            while row < len(column):
                column[row] = True
                row += g + int(rng.integers(0, 3))
        mask = block_mask(starts, g)
        found, size = covering_blocks(mask * rng.normal(size=mask.shape), g)
        assert size == g
        assert np.array_equal(block_mask(found, g), mask)
        assert (found.sum(axis=0) == starts.sum(axis=0)).all()
    assert covering_blocks(np.ones((10, 3)), 4)[1] == 2
