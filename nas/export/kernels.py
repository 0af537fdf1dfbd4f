"""Pruned networks as programs of kernels beside their graphs (`nas.kernels/1`)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from nas.export.plan import Network
from nas.runtime.program import SCHEMA
from search_spaces import InputError
from supernets import Segment, write_tensors
from supernets.kernels import KINDS, pack_zeros, write_program

FILE = "kernels.json.gz"
PROGRAM = "nas.program/1"  # of the tensors of one segment
THREADS = 1, 2, 4  # that programs are written for


def write_kernels(networks: Iterable[Network], folder: Path) -> tuple[list[str], str]:
    """Write programs of the networks that have blocks; the names of the files.

    Where a network has none, its name and the reason, in one line.
    """
    texts: dict[str, str] = {}  # by name
    programs: dict[str, Any] = {}
    why = ""
    for network in networks:
        if not network.block:
            continue
        try:
            made = _programs(network, folder, texts)
        except InputError as reason:
            why = why or f"{network.name} runs dense everywhere: {reason}"
            continue
        programs |= made
    if not programs:
        return [], why
    content = {"schema": SCHEMA, "texts": texts, "programs": programs}
    data = json.dumps(content, separators=(",", ":")).encode()
    (folder / FILE).write_bytes(gzip.compress(data, mtime=0))
    return [FILE, *(program["tensors"] for program in programs.values())], why


def _programs(network: Network, folder: Path, texts: dict[str, str]) -> dict[str, Any]:
    """The programs of all segments by their graph; their tensors are written into `folder`."""
    found, value = {}, torch.zeros(1, *network.input_shape)
    n_segments = len(network.net.segments)
    for i, segment in enumerate(cast(Iterable[Segment], network.net.segments)):
        net = nn.Sequential(segment.trunk, segment.head) if i == n_segments - 1 else segment
        shape, kernels = tuple(value.shape[1:]), {}
        tensors: dict[str, torch.Tensor] = {}
        packed = pack_zeros(net, network.block)
        for kind, threads in product(KINDS, THREADS):
            program, more = write_program(packed, shape, kind, threads)
            texts |= more
            kernels[f"{kind}.{threads}"] = list(program.codes)
            for i_thread, table in enumerate(program.tables):
                tensors[f"table.{kind}.{threads}.{i_thread}"] = torch.from_numpy(table)
            weights = torch.from_numpy(program.weights.copy())
            assert torch.equal(tensors.setdefault("weights", weights), weights)  # all the same
        name = f"{network.name}-{i}.program.safetensors"
        write_tensors(folder / name, tensors, {"schema": PROGRAM})
        found[f"{network.name}-{i}.onnx"] = {
            "tensors": name,
            "scratch": program.scratch,
            "input": program.inputs,
            "runner": program.runner,
            "outputs": [{"at": at, "shape": list(size)} for at, size in program.outputs],
            "kernels": kernels,
        }
        with torch.inference_mode():
            value = segment.trunk(value)
    return found
