"""A segment as `nas/runtime/program.py` reads it: tables of calls, and the texts of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from supernets.kernels.program import KINDS, pack_zeros, write_program


class WrittenSegment(NamedTuple):
    """`described` is JSON; the others are by the names that it and the tables use."""

    described: dict[str, Any]
    tensors: dict[str, Tensor]
    texts: dict[str, str]


def write_segment(
    net: nn.Module,
    shape: tuple[int, ...],
    g: int,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    threads: Sequence[int] = (1, 2, 4),
) -> WrittenSegment:
    """`net`, whose zeros say its blocks of `g` rows, for one image (C, H, W).

    For `kinds` of processors and numbers of `threads`. InputError names a layer without a kernel.
    """
    packed = pack_zeros(net, g)
    tensors: dict[str, Tensor] = {}
    texts: dict[str, str] = {}
    described: dict[str, Any] = {}
    codes = {}
    for kind, n in product(kinds, threads):
        program, more = write_program(packed, shape, kind, n)
        texts |= more
        codes[f"{kind}.{n}"] = list(program.codes)
        for i, table in enumerate(program.tables):
            tensors[f"table.{kind}.{n}.{i}"] = torch.from_numpy(table)
        weights = torch.from_numpy(program.weights.copy())
        memory = {
            "scratch": program.scratch,
            "input": program.inputs,
            "runner": program.runner,
            "outputs": [{"at": at, "shape": list(size)} for at, size in program.outputs],
        }
        described = described or memory
        assert torch.equal(tensors.setdefault("weights", weights), weights)
        assert described == memory  # one description and the same weights for all
    return WrittenSegment({**described, "kernels": codes}, tensors, texts)
