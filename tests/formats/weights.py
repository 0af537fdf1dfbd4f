"""Weights of supernets, what belongs to them, and what comes from others."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from nas.cli.supernet import info
from nas.runtime.tensors import read_tensors
from nas.runtime.weights import SharedWeights
from supernets import build_supernet, load_dataset, load_supernet, save_supernet
from supernets.bn_cache import read_bn_cache, write_bn_cache
from supernets.elastic import Statistics
from supernets.ofa_file import read_foreign
from supernets.training.settings import TrainSettings
from supernets.training.state import TrainingState
from tests.formats.kind import TINY, Format


@cache
def supernet() -> Any:
    torch.manual_seed(0)
    return build_supernet(TINY).eval()


def tensors_of(found: Any) -> Any:
    return {key: value.tolist() for key, value in found.state_dict().items()}


def weights(path: Path) -> None:
    save_supernet(supernet(), path, half=True, dataset="digits")


def statistics(path: Path) -> None:
    from supernets.bn_cache import norm_layers

    subnet = TINY.subnet(TINY.smallest[0])
    layers = norm_layers(supernet(), subnet)
    found: Statistics = {k: (torch.zeros(n), torch.ones(n)) for k, n in layers.items()}
    write_bn_cache(path, supernet(), {subnet: found}, "0" * 64)


def slices(path: Path) -> None:
    """A list of slices beside the tensors that it cuts."""
    ones = torch.ones(4, 2)
    safetensors.torch.save_file({"a.weight": ones}, path.parent / "w.safetensors")
    safetensors.torch.save_file({"s": ones.T.contiguous()}, path.parent / "b.safetensors")
    graphs = {"g": {"weight0": {"tensor": "a.weight", "picks": [3, [1, 0]]}}}
    path.write_text(json.dumps({"schema": "nas.slices/1", "eps": 1e-5, "graphs": graphs}))


def cut(path: Path) -> Any:
    names: Any = {"weights": "w.safetensors", "statistics": "b.safetensors", "slices": path.name}
    shared = SharedWeights(str(path.parent), names)
    return [shared.of(graph, "s") for graph in list(shared.graphs)]


def read_statistics(path: Path) -> Any:
    found = read_bn_cache(path, supernet(), "0" * 64)
    return {name: {k: str(v) for k, v in of.items()} for name, of in found.items()}


@cache
def digits() -> Any:
    return load_dataset(None)


def training() -> TrainingState:
    return TrainingState(supernet(), TrainSettings(epochs=2), digits())


def read_training(path: Path) -> Any:
    state = training()
    state.load(path)
    return state.epochs_done, state.seconds


def foreign(path: Path) -> None:
    torch.save({"state_dict": {f"module.{k}": torch.ones(3) for k in "abc"}}, path)


def foreign_tensors(path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(3)}, path)


def card(path: Path) -> None:
    weights(path.with_name("weights.safetensors"))
    path.write_text("# A card\n\nTrained on *digits*: 98 %\n")


def read_card(path: Path) -> str:
    with redirect_stdout(io.StringIO()) as said:
        info(str(path.parent))
    assert "\x1b" not in said.getvalue()
    return said.getvalue()


FORMATS = {
    "weights": Format(
        "weights.safetensors", weights, lambda p: tensors_of(load_supernet(p)[0]), 150, vouched=b""
    ),
    "board's weights": Format(
        "weights.safetensors",
        weights,
        lambda p: sum(a.sum(dtype=float) for a in read_tensors(str(p)).values()),
    ),
    "slices": Format("slices.json", slices, cut),
    "statistics": Format("bn.safetensors", statistics, read_statistics, 200, vouched=b""),
    "training run": Format(
        "training.safetensors", lambda p: training().save(p), read_training, 20, vouched=b""
    ),
    "weights of others": Format("theirs.pt", foreign, read_foreign, 150),
    "tensors of others": Format("theirs.safetensors", foreign_tensors, read_foreign),
    "card": Format("card.md", card, read_card),
}
