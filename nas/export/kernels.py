"""Pruned networks as programs of kernels beside their graphs (`nas.kernels/1`)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from nas.export.plan import Network
from nas.runtime.program import SCHEMA
from search_spaces import InputError
from supernets import Segment, write_tensors
from supernets.kernels import is_pruned, write_segment

FILE = "kernels.json.gz"
PROGRAM = "nas.program/1"  # of the tensors of one segment


def write_kernels(networks: Iterable[Network], folder: Path) -> tuple[list[str], str]:
    """Write programs of the segments that have blocks; the names of the files.

    Where a network has none, its name and the reason, in one line.
    """
    texts: dict[str, str] = {}  # by name
    programs: dict[str, Any] = {}
    why = ""
    for network in networks:
        if not network.block:
            continue
        try:
            made = dict(_programs(network, folder, texts))
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


def _programs(
    network: Network, folder: Path, texts: dict[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The programs of all pruned segments by their graph; tensors are written into `folder`."""
    value = torch.zeros(1, *network.input_shape)
    n_segments = len(network.net.segments)
    for i, segment in enumerate(cast(Iterable[Segment], network.net.segments)):
        if is_pruned(segment):
            last = i == n_segments - 1
            net = nn.Sequential(segment.trunk, segment.head) if last else segment
            written = write_segment(net, tuple(value.shape[1:]), network.block)
            name = f"{network.name}-{i}.program.safetensors"
            write_tensors(folder / name, written.tensors, {"schema": PROGRAM})
            texts |= written.texts
            yield f"{network.name}-{i}.onnx", {"tensors": name, **written.described}
        with torch.inference_mode():
            value = segment.trunk(value)
