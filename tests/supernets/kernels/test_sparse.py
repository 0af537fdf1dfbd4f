"""The code for other processors: registers suffice, and NEON computes the same under QEMU."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
import torch

from supernets.kernels.sparse import most_pieces, sparse_text
from supernets.kernels.tiles import plane_tiles
from supernets.kernels.translate import Processor, assembly, compiled, llvm
from tests.supernets.kernels.blocks import pruned

pytest.importorskip("llvmlite")
AVX2 = Processor("x86_64-unknown-linux-gnu", "haswell", "", 8, 16)
AVX512 = Processor("x86_64-unknown-linux-gnu", "skylake-avx512", "-prefer-256-bit", 16, 32)
NEON = Processor("aarch64-unknown-linux-gnu", "cortex-a57", "+neon", 4, 32)
CODE, DATA = 0x400000, 0x800000  # where QEMU puts the two parts of our program


@pytest.fixture(autouse=True, scope="module")
def _all_targets():
    llvm().initialize_all_targets()
    llvm().initialize_all_asmprinters()


@pytest.mark.parametrize("target", [AVX2, AVX512, NEON], ids=lambda t: t.name)
@pytest.mark.parametrize("g", [4, 8])
def test_all_sums_stay_in_registers(target, g) -> None:
    tile = plane_tiles(1, 196, 196, target.vector, most_pieces(g, target.registers))[0]
    text = assembly(sparse_text(g, tile.pieces), target)
    assert not re.findall(r"[xyz]mm\d+.*Spill|\bq\d+.*Spill", text)


def program(code: bytes, data: bytes) -> bytes:
    """An executable for 64-bit Arm that holds `code` at CODE and `data` at DATA."""
    header = 64 + 2 * 56
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf = struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, CODE + header, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    size, start = header + len(code), (header + len(code) + 4095) // 4096 * 4096
    loads = struct.pack("<IIQQQQQQ", 1, 5, 0, CODE, CODE, size, size, 4096)
    loads += struct.pack("<IIQQQQQQ", 1, 6, start, DATA, DATA, len(data), len(data), 4096)
    return (ident + elf + loads + code).ljust(start, b"\0") + data


def start(n_bytes: int) -> bytes:
    """Instructions before the kernel: call it with what lies at DATA, write y, exit."""

    def move(register: int, value: int) -> list[int]:
        high = 0xF2A00000 | value >> 16 << 5 | register
        return [0xD2800000 | (value & 0xFFFF) << 5 | register, high]

    clamp = [0x1E2703E0, *move(3, struct.unpack("<I", struct.pack("<f", 6.0))[0]), 0x1E270061]
    before = [w for i in range(3) for w in move(i, DATA + i * 4096)] + clamp
    write = move(0, 1) + move(1, DATA + 2 * 4096) + move(2, n_bytes) + move(8, 64) + [0xD4000001]
    after = write + move(0, 0) + move(8, 93) + [0xD4000001]
    call = [0x94000000 | len(after) + 1]  # to what follows all this
    return struct.pack(f"<{len(before) + 1 + len(after)}I", *before, *call, *after)


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="needs QEMU's user mode for Arm")
def test_neon_computes_the_same_under_qemu(tmp_path) -> None:
    layer, _ = pruned(13, 10, low=0.0, high=6.0)
    packed, pixels = layer.packed, 19
    (tile,) = plane_tiles(1, pixels, pixels, NEON.vector, most_pieces(packed.g, NEON.registers))
    x = torch.randn(1, 10, 1, pixels)
    offsets = (4 * pixels * np.arange(10)).astype(np.int32)
    places, end = [], 3 * 4096
    for array in (packed.starts, packed.columns, packed.values, offsets, packed.bias):
        places.append((end, array.tobytes()))
        end += (array.nbytes + 63) // 64 * 64
    y_bytes = 4 * 13 * pixels
    numbers = 0, 0, 13, 13, 4 * pixels, tile.n, 0, 0
    told = struct.pack("<13q", *(DATA + at for at, _ in places), *numbers)
    data = bytearray(end)
    for at, content in ((0, told), (4096, x.numpy().tobytes()), *places):
        data[at : at + len(content)] = content
    code = compiled(sparse_text(packed.g, tile.pieces), NEON)
    found = llvm().ObjectFileRef.from_data(code).sections()
    sections = {(s.name() or b"").decode().strip("\0"): s.data() for s in found}
    assert ".rela.text" not in sections
    path = tmp_path / "kernel"
    path.write_bytes(program(start(y_bytes) + sections[".text"], bytes(data)))
    path.chmod(0o700)
    ran = subprocess.run(["qemu-aarch64", str(path)], capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    y = torch.frombuffer(bytearray(ran.stdout), dtype=torch.float32).reshape(1, 13, 1, pixels)
    torch.testing.assert_close(y, layer.forward_dense(x), rtol=1e-4, atol=1e-5)
