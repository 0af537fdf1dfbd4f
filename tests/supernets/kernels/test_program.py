"""Whole networks as tables of calls, run as a board runs them, against torch."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.runtime import machine_code
from nas.runtime.program import REMEMBERED, TRIED_EVERY, ProgramSession
from search_spaces import InputError
from supernets import write_tensors
from supernets.kernels import pack_zeros, write_program
from supernets.pruning import prunable, select_network
from supernets.pruning.blocks import block_mask, covering_blocks
from supernets.pruning.network import weight_mask
from tests.supernets.mobilenet_v2 import digits

pytest.importorskip("llvmlite")
OWN = machine_code.processor_kind()[0]


class Board:
    """An exported folder with one program."""

    def __init__(
        self, folder: Path, net: nn.Module, shape: tuple[int, ...], kind: str, threads: int
    ) -> None:
        packed, tensors, kernels, self.texts = pack_zeros(net, 4), {}, {}, {}
        for n in {1, threads}:
            program, texts = write_program(packed, shape, kind, n)
            tensors |= {f"table.{kind}.{n}.{i}": t for i, t in enumerate(program.tables)}
            kernels[f"{kind}.{n}"] = program.codes
            self.texts |= texts
        tensors["weights"] = program.weights.copy()
        about = {"schema": "nas.program/1"}
        arrays = {name: torch.from_numpy(array) for name, array in tensors.items()}
        write_tensors(folder / "program.safetensors", arrays, about)
        described = {"tensors": "program.safetensors", "scratch": program.scratch}
        described |= {"runner": program.runner, "input": program.inputs, "kernels": kernels}
        described["outputs"] = [{"at": at, "shape": shape} for at, shape in program.outputs]
        self.programs, self.folder = json.loads(json.dumps({"graph": described})), folder
        self.kind, self.threads = kind, threads
        self.features = machine_code.processor_kind()[1]

    def path(self, file: str) -> str:
        return str(self.folder / file)

    def session(self) -> ProgramSession:
        return ProgramSession(self, "graph", self, self.threads)


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
def test_a_network_answers_as_torch_does(kind: str, threads: int, tmp_path: Path) -> None:
    """Several images, and several runs: what a run leaves in the memory does no harm."""
    if kind != OWN and OWN == "neon":
        pytest.skip("another processor")
    net, x = zeroed(digits()), torch.randn(2, 1, 12, 12)
    session = Board(tmp_path, net, (1, 12, 12), kind, threads).session()
    session.ways = session.ways[-1:]
    assert len(session.ways[0].calls) == threads
    for images in (x, x.flip(0)):
        (found,) = session.run(None, {"input": images.numpy()})
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


def test_several_threads_compute_where_they_were_faster(tmp_path: Path) -> None:
    net = zeroed(digits())
    session = Board(tmp_path, net, (1, 12, 12), OWN, 2).session()
    one, two = session.ways
    for slow, fast in ((one, two), (two, one)):
        slow.times.extend([2.0] * REMEMBERED)
        fast.times.extend([1.0] * REMEMBERED)
        assert session._chosen() is fast
    session._n_images = TRIED_EVERY - 1
    assert session._chosen() is two


def test_what_has_no_kernel_is_named() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
    with pytest.raises(InputError, match="2: no kernel for MaxPool2d"):
        write_program(pack_zeros(net, 4), (3, 8, 8), "sse")


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
