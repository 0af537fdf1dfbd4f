"""A kernel for blocks of a x b weights (a outputs of b inputs that follow each other).

For the comparison alone: b inputs are loaded for a sums, where g x 1 loads one for g of them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from dense import Run
from supernets.kernels.jobs import Jobs
from supernets.kernels.plans import Call
from supernets.kernels.sparse import SIGNATURE
from supernets.kernels.text import Code, Text, vector
from supernets.kernels.tiles import Piece, plane_tiles
from supernets.kernels.translate import processor
from supernets.pruning.layouts import select_tiles, tile_mask

POINTERS = ("starts", "columns", "values", "bias")
NUMBERS = ("groups", "plane", "tiles", "step")


def tile_text(a: int, b: int, pieces: tuple[Piece, ...]) -> str:
    """The code of a 1x1 convolution and ReLU; `plane` and `step` are in bytes."""
    t = Text(SIGNATURE)
    arg = t.arguments(POINTERS, NUMBERS)
    sums = [[t.slot(vector(p.width), zero(p.width)) for p in pieces] for _ in range(a)]
    with t.loop(0, arg["tiles"]) as tile, t.loop(0, arg["groups"]) as group:
        at = t.let(f"mul i64 {tile}, {arg['step']}")
        x_tile, y_tile = t.at("%x", at), t.at("%y", at)
        row = t.let(f"mul i64 {group}, {a}")
        for i in range(a):
            bias = t.load("float", t.at(arg["bias"], t.let(f"add i64 {row}, {i}"), "float"))
            for p, slot in zip(pieces, sums[i], strict=True):
                t.do(f"store {vector(p.width)} {t.splat(bias, p.width)}, ptr {slot}")
        start = t.at(arg["starts"], group, "i32")
        ends = (t.load("i32", p) for p in (start, t.at(start, 1, "i32")))
        with t.loop(*(t.let(f"zext i32 {n} to i64") for n in ends)) as block:
            column = t.let(f"load i16, ptr {t.at(arg['columns'], block, 'i16')}")
            first = t.let(f"mul i64 {t.let(f'zext i16 {column} to i64')}, {arg['plane']}")
            values = t.at(arg["values"], t.let(f"mul i64 {block}, {a * b}"), "float")
            for j in range(b):
                x = t.at(x_tile, offset(t, first, arg["plane"], j))
                read = [t.load(vector(p.width), t.at(x, p.read, "float")) for p in pieces]
                for i in range(a):
                    weight = t.load("float", t.at(values, j * a + i, "float"))
                    for p, value, slot in zip(pieces, read, sums[i], strict=True):
                        spread, old = t.splat(weight, p.width), t.get(slot, vector(p.width))
                        total = t.fused(value, spread, old, p.width)
                        t.do(f"store {vector(p.width)} {total}, ptr {slot}")
        for i in range(a):
            y = t.at(y_tile, offset(t, "0", arg["plane"], t.let(f"add i64 {row}, {i}")))
            for p, slot in zip(pieces, sums[i], strict=True):
                low, high = (t.splat(f"%{bound}", p.width) for bound in ("low", "high"))
                total = t.clamped(t.get(slot, vector(p.width)), low, high, p.width)
                t.store(vector(p.width), total, t.at(y, p.write, "float"))
    return t.end()


def zero(width: int) -> str:
    return "zeroinitializer" if width > 1 else "0.0"


def offset(t: Text, first: str, plane: str, times: str | int) -> str:
    return t.let(f"add i64 {first}, {t.let(f'mul i64 {plane}, {times}')}")


def layout_run(conv: nn.Conv2d, x: Tensor, a: int, b: int, sparsity: float) -> Run:
    """A 1x1 convolution with ReLU in blocks of a x b; checked against the masked dense product."""
    weight = conv.weight.detach().numpy().reshape(conv.out_channels, -1)
    starts = select_tiles(weight, a, b, sparsity)
    group, column = np.nonzero(starts)
    counts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(starts)))])
    rows, columns = group[:, None] * a + np.arange(a), column[:, None] + np.arange(b)
    values = np.ascontiguousarray(weight[rows[:, None, :], columns[:, :, None]], np.float32)
    assert conv.bias is not None
    bias = conv.bias.detach().numpy()
    arrays = counts.astype(np.uint32), column.astype(np.uint16), values, bias
    height, width = x.shape[2:]
    cpu, y = processor(), torch.empty(1, conv.out_channels, height, width)
    tiles = plane_tiles(height, width, width, cpu.vector, (cpu.registers - 2) // (a + 1))
    calls = [
        Call(
            Code(tile_text, (a, b, tile.pieces)),
            arrays,
            (len(starts), 4 * height * width, tile.n, 4 * tile.read_step),
            *(4 * tile.read, 4 * tile.write),
        )
        for tile in tiles
    ]
    jobs = Jobs([calls])
    assert conv.out_channels % a == 0

    def run() -> object:
        return jobs.run(x.data_ptr(), y.data_ptr(), 0.0, float("inf"))

    run()
    masked = torch.from_numpy(weight * tile_mask(starts, a, b, len(weight)))
    wanted = torch.relu(torch.einsum("oc,nchw->nohw", masked, x) + conv.bias[:, None, None])
    torch.testing.assert_close(y, wanted, rtol=1e-4, atol=1e-4)
    return run
