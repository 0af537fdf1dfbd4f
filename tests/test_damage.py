"""Damaged files of every kind that is read: an equal result or one line, never a traceback.

A file is changed by chance: bits flipped, cut, repeated, a figure replaced by one that cannot be, a
field dropped, brackets without end. The suite tries some thousand; `-m slow` two hundred thousand.
"""

from __future__ import annotations

import json
import random
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import save_file

from nas.board.bench.trtexec import read_times
from nas.board.control.journal import Journal
from nas.board.control.sysfs import BoardError, Sysfs
from nas.devices import load_profile
from nas.measure.table import Table
from nas.pareto.read import read_pareto
from nas.remote.messages import read_message
from nas.runtime.manifest import ManifestError
from nas.runtime.records import SharedEntry
from nas.runtime.tensors import read_tensors
from nas.runtime.weights import SharedWeights
from nas.search.study.journal import repair
from predictors import (
    LatencyPredictor,
    load_predictor,
    read_accuracy_table,
    read_ofa_lut,
    read_rows,
    save_predictor,
)
from search_spaces import InputError, encode, get_space
from supernets import build_supernet, load_dataset, load_supernet, save_supernet
from tests.supernets.pictures import write_classes, write_idx

REPO = Path(__file__).parents[1]
SPACE = get_space("resnet-digits")
HOSTILE = [
    *("nan", "-1", "1e999", "NaN", "Infinity", "-Infinity", "null", "true", '""', "[]", "{}"),
    *("9" * 400, "=cmd()", "\x1b[2J", "../../escape", "\u202e", "0x10", "1,5", "[" * 100_000),
]
Reader = Callable[[Path], Any]


def rows_csv(path: Path) -> Path:
    lines = ["space,subnet,heads,device,level,latency_ms,energy_mj"]
    for i, genes in enumerate(SPACE.sample(12, np.random.default_rng(0))):
        lines.append(f"{SPACE.name},{SPACE.subnet(genes)},0+3,host,0,{1 + i / 7:.4f},{2 + i}")
    path.write_text("\n".join(lines) + "\n")
    return path


def lut(path: Path) -> Path:
    path.write_text(
        "Conv-input:224x224x3-output:112x112x16: {mean: 1.5, std: 0.25, count: 3}\n" * 1
    )
    return path


def predictor(path: Path) -> Path:
    genes = SPACE.sample(40, np.random.default_rng(0))
    X = encode(SPACE, genes, np.ones((40, SPACE.n_exits + 1), dtype=bool))
    fitted = LatencyPredictor(n_estimators=5).fit(X, X.sum(axis=1))
    save_predictor(fitted, path.parent, SPACE)
    return path


def weights(path: Path) -> Path:
    save_supernet(build_supernet(SPACE), path, half=True, dataset="digits")
    return path


def images(path: Path) -> Path:
    write_classes(path.parents[1], {"a": 3, "b": 3})
    return path


def labels(path: Path) -> Path:
    write_idx(path.parent, [0, 1, 2, 0, 1, 2], side=8)
    return path


def slices(path: Path) -> Path:
    """A list of slices beside the tensors that it cuts."""
    save_file({"a.weight": np.ones((4, 2), np.float32)}, path.parent / "w.safetensors")
    save_file({"s": np.ones((2, 4), np.float32)}, path.parent / "b.safetensors")
    graphs = {"g": {"weight0": {"tensor": "a.weight", "picks": [3, [1, 0]]}}}
    path.write_text(json.dumps({"schema": "nas.slices/1", "eps": 1e-5, "graphs": graphs}))
    return path


def cut(path: Path) -> Any:
    names = {"weights": "w.safetensors", "statistics": "b.safetensors", "slices": path.name}
    shared = SharedWeights(str(path.parent), cast(SharedEntry, names))
    return [shared.of(graph, "s") for graph in list(shared.graphs)]


def copied(source: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes((REPO / source).read_bytes())
        return path

    return make


def journal(path: Path) -> Path:
    path.parent.chmod(0o700)
    path.write_text('{"pid": 1, "boot": "b"}\n{"path": "/sys/a/min_freq", "old": "1"}\n')
    path.chmod(0o600)
    return path


def line(path: Path) -> Path:
    row = {
        "id": "a",
        "latency_ms": 1.5,
        "n_runs": 100,
        "pinned": ["gpu"],
        "notes": [],
        "gpu_mhz": 5,
    }
    path.write_text(json.dumps({"row": row}) + "\n")
    return path


def read_lines(path: Path) -> list[Any]:
    return [read_message(part) for part in path.read_bytes().splitlines()]


def written(text: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_text(text)
        return path

    return make


FORMATS: dict[str, tuple[str, Callable[[Path], Path], Reader]] = {
    "rows": ("rows.csv", rows_csv, lambda p: read_rows(p, SPACE).to_csv()),
    "resumed rows": ("own.csv", rows_csv, lambda p: Table(p).rows),
    "accuracies": (
        "accuracy.safetensors",
        copied("supernets/zoo/resnet-cifar10/accuracy.safetensors"),
        lambda p: len(read_accuracy_table(p, get_space("resnet-cifar"))),
    ),
    "look-up table": ("9_lookup_table.yaml", lut, read_ofa_lut),
    "sidecar": (
        "latency_ms.json",
        predictor,
        lambda p: load_predictor(p.parent, "latency_ms", SPACE),
    ),
    "trees": ("latency_ms.ubj", predictor, lambda p: load_predictor(p.parent, "latency_ms", SPACE)),
    "weights": ("weights.safetensors", weights, lambda p: load_supernet(p)[1]),
    "board's weights": (
        "weights.safetensors",
        weights,
        lambda p: sum(a.sum(dtype=float) for a in read_tensors(str(p)).values()),
    ),
    "slices": ("slices.json", slices, cut),
    "profile": (
        "nano.toml",
        copied("nas/devices/profiles/nano.toml"),
        lambda p: load_profile(str(p)),
    ),
    "image": ("a/0.png", images, lambda p: len(load_dataset(p.parents[1]).train)),
    "idx": ("train-labels-idx1-ubyte", labels, lambda p: len(load_dataset(p.parent).train)),
    "board's journal": (
        "clocks.journal",
        journal,
        lambda p: Journal(Sysfs(str(p.parent)), str(p)).close(),
    ),
    "board's line": ("line.json", line, read_lines),
    "trtexec's times": (
        "times.json",
        written('[{"latencyMs": 1.5}]'),
        lambda p: read_times(str(p)),
    ),
    "study's journal": ("study.journal", written('{"op_code": 0}\n{"op_code": 4}\n'), repair),
    "configuration": (
        "net.config",
        written('{"ks": 3, "e": 6, "d": 2, "r": 224}'),
        lambda p: get_space("ofa-mobilenetv3").parse(p.read_bytes().decode("utf-8", "replace")),
    ),
    "result": ("pareto.json", written('{"schema": "nas.pareto/1", "points": []}'), read_pareto),
}


def damaged(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to three changes."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and data:
            flipped = bytearray(data)
            flipped[at % len(data)] ^= 1 << rng.randrange(8)
            data = bytes(flipped)
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + data[at : at + rng.randrange(1, 200)] * 2 + data[at:]
        elif kind == 3:
            data = data[:at] + rng.choice(HOSTILE).encode() + data[at:]
        elif kind == 4:
            figures = list(re.finditer(rb'-?\d+\.?\d*|"[^"]*"', data))
            if figures:
                found = rng.choice(figures)
                data = data[: found.start()] + rng.choice(HOSTILE).encode() + data[found.end() :]
        else:
            parts = data.split(b"\n") if b"\n" in data else data.split(b",")
            del parts[rng.randrange(len(parts))]
            data = (b"\n" if b"\n" in data else b",").join(parts)
    return data


def try_damage(name: str, n: int, folder: Path) -> None:
    """`n` damaged copies of one format: each is read or refused in one line, within seconds."""
    file, make, read = FORMATS[name]
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = make(path).read_bytes()
    for seed in range(n):
        path.write_bytes(damaged(whole, random.Random(f"{name} {seed}")))
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except (InputError, BoardError, ManifestError) as error:
            assert "\n" not in str(error).strip(), (seed, str(error))  # noqa: PT017
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - start < 10, seed


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_that_are_damaged_are_good(name: str, tmp_path: Path) -> None:
    file, make, read = FORMATS[name]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    if name != "result":  # a whole one is read by its own tests
        read(make(tmp_path / file))


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_one_line(name: str, tmp_path: Path) -> None:
    large = "weights", "board's weights", "accuracies", "image", "idx", "trees", "sidecar"
    slow = name in large
    try_damage(name, 40 if slow else 400, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_two_hundred_thousand_damaged_files(name: str, tmp_path: Path) -> None:
    try_damage(name, 200_000 // len(FORMATS), tmp_path)
