"""Every kind of file that is read: how a small whole one is made, and what reads it.

A reader's answer is compared with that of the whole file where the format vouches for its content.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import optuna
import safetensors.torch
import torch

from nas.board.bench.link import Link
from nas.board.bench.rows import Rows
from nas.board.bench.trtexec import _read_notes, read_times
from nas.board.control.journal import Journal
from nas.board.control.sysfs import Sysfs
from nas.cli.govern_board import _read_images
from nas.cli.spaces import _subnet
from nas.cli.supernet import info
from nas.devices import load_profile
from nas.export.one import is_configuration
from nas.measure.power_log import read_power_log
from nas.measure.table import Table
from nas.pareto.read import read_pareto
from nas.remote.messages import read_message
from nas.runtime import read_manifest
from nas.runtime.arrivals import read_arrivals
from nas.runtime.checks import content_sha256
from nas.runtime.tensors import read_tensors
from nas.runtime.traces import Traces, read_traces, write_traces
from nas.runtime.weights import SharedWeights
from nas.search.folder import _check_same, _devices_of
from nas.search.images.log import EvaluationLog
from nas.search.study.storage import open_storage
from nas.search.study.warm_start import read_warm_start
from nas.start.images import read_image
from nas.transfer.saved import load_costs
from nas.zoo.published import read_entry
from predictors import (
    AccuracyPredictor,
    LatencyPredictor,
    NeuralOptimizer,
    TransferPredictor,
    learn_prior,
    load_predictor,
    load_transfer,
    read_accuracy_table,
    read_ofa_lut,
    read_rows,
    save_predictor,
    save_transfer,
)
from search_spaces import encode, get_space
from supernets import build_supernet, load_dataset, load_supernet, save_supernet
from supernets.bn_cache import read_bn_cache, write_bn_cache
from supernets.checkpoint import write_tensors
from supernets.elastic import Statistics
from supernets.ofa_file import read_foreign
from supernets.training.settings import TrainSettings
from supernets.training.state import TrainingState
from tests.nas.pareto.results import small_result
from tests.nas.runtime.test_manifest import content as small_manifest
from tests.predictors.synthetic import accuracy_table
from tests.supernets.pictures import picture, write_classes, write_idx

REPO = Path(__file__).parents[1]
DIGITS = get_space("resnet-digits")
TINY = replace(DIGITS, widths=((4,), (6,), (8,), (8, 10)))
CELLS = get_space("nasbench201")
GENES = DIGITS.sample(40, np.random.default_rng(0))
FEATURES = encode(DIGITS, GENES, np.ones((1, DIGITS.n_exits + 1), dtype=bool))
DIGEST = b'"content_sha256"'
HEADER = {"n_images": 40, "split": "validation"}


class Format(NamedTuple):
    """`file` of a folder is damaged; `make` writes the folder, `read` takes the file.

    `vouched`: while the file has these words (of its checksum), what is read is equal or refused.
    `n`: copies that are tried in the suite, by what one costs.
    """

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    n: int = 110
    vouched: bytes | None = None


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def data(make: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(make())


def rows_csv(path: Path) -> None:
    lines = ["space,subnet,heads,device,level,latency_ms,energy_mj"]
    for i, subnet in enumerate(DIGITS.subnets(GENES[:6])):
        lines.append(f"{DIGITS.name},{subnet},0+3,host,0,{1 + i / 7:.4f},{2 + i}")
    path.write_text("\n".join(lines) + "\n")


def rows_parquet(path: Path) -> None:
    import pandas as pd

    rows_csv(path.with_suffix(".csv"))
    pd.read_csv(path.with_suffix(".csv")).to_parquet(path)


def errors_csv(path: Path) -> None:
    lines = [f"{s},{9 + i}.5" for i, s in enumerate(CELLS.subnets(CELLS.sample(6, rng())))]
    path.write_text("\n".join(["subnet,top1_error_pct", *lines]) + "\n")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def accuracies(path: Path) -> None:
    table = accuracy_table(DIGITS, 4, thresholds=(0.5,))
    tensors = {
        "top1_error_pct": torch.tensor(table.top1_error_pct),
        "exit_rate": torch.tensor(table.exit_rate).half(),
    }
    described = {
        "schema": "nas.accuracy/1",
        "space": DIGITS.name,
        "subnets": [str(s) for s in DIGITS.subnets(table.genes)],
        "n_exits": DIGITS.n_exits,
        "thresholds": [0.5],
        "source": "measured",
        "split": "validation",
        "n_images": 400,
        "supernet_sha256": "weights",
        "temperatures": [1.0, 1.1, 1.2, 1.3],
    }
    write_tensors(path, tensors, described)


@cache
def fitted() -> LatencyPredictor:
    return LatencyPredictor(n_estimators=2).fit(FEATURES, FEATURES.sum(axis=1))


def predictor(path: Path) -> None:
    save_predictor(fitted(), path.parent, DIGITS, source="measured", level=3)


def predicted(path: Path) -> Any:
    load_costs(path.parent, "latency_ms", DIGITS)
    return load_predictor(path.parent, "latency_ms", DIGITS).predict(FEATURES).tolist()


def pool(path: Path) -> None:
    size = np.log(FEATURES[:, -1] + 1)
    X = np.column_stack([FEATURES, size, size**2])
    columns = (X.shape[1] - 2, X.shape[1] - 1)
    prior = learn_prior(X, proxy_columns=columns)
    transfer = TransferPredictor(columns, prior=prior).fit(X[:9], np.exp(size[:9]))
    level = {"level": 0, "gpu_mhz": 100.0, "cpu_mhz": None, "emc_mhz": None, "power_mode": None}
    kept = {"model": None, "source": "simulated", "n_rows": 0}
    about = {"source": "measured", "levels": [level], "proxy_models": [kept, kept]}
    save_transfer(transfer, path.parent, DIGITS, "latency_ms", ["nano", "xavier-nx"], **about)


def pooled(path: Path) -> Any:
    load_costs(path.parent, "latency_ms", DIGITS)
    return load_transfer(path.parent, "latency_ms", DIGITS)[0].y_.tolist()


def accuracy_predictor(path: Path) -> None:
    table = accuracy_table(DIGITS, 14, thresholds=(0.5,))
    AccuracyPredictor(DIGITS, regressor="kernel", n_components=2).fit(table).save(path.parent)


def predicted_accuracy(path: Path) -> Any:
    found = AccuracyPredictor.load(path.parent, DIGITS).predict(GENES[:2])
    return [part.tolist() for part in found]


@cache
def trained() -> NeuralOptimizer:
    genes = CELLS.enumerate()[:200]
    costs = np.log1p(genes @ np.arange(1.0, 13.0).reshape(6, 2))
    made = NeuralOptimizer(CELLS, hidden=4, n_steps=2)
    return made.fit(genes, costs, ["a", "b"], genes.sum(axis=1).astype(float))


def designed(path: Path) -> Any:
    return NeuralOptimizer.load(path.parent, CELLS).accuracy(CELLS.enumerate()[:3]).tolist()


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


def pictures(path: Path) -> None:
    write_classes(path.parents[1], {"a": 3, "b": 3}, path.suffix)


def records(name: str, n_labels: int, n: int) -> Callable[[Path], object]:
    """CIFAR's binary files with `n` images each; the class of image i is i modulo 10."""

    def make(path: Path) -> None:
        one = [bytes([i % 10] * n_labels) + bytes(3072) for i in range(n)]
        for file in name.split():
            (path.parent / file).write_bytes(b"".join(one))
        names = "\n".join(f"class{i}" for i in range(100))
        (path.parent / "fine_label_names.txt").write_text(names)

    return make


BATCHES = " ".join([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"])


def images_of(folder: Path) -> Any:
    read = load_dataset(folder)
    return len(read.train), read.class_names


def journal(path: Path) -> None:
    path.parent.chmod(0o700)
    path.write_text('{"pid": 1, "boot": "b"}\n{"path": "/sys/a/min_freq", "old": "1"}\n')
    path.chmod(0o600)


def row_line(path: Path) -> None:
    row = {"id": "a", "latency_ms": 1.5, "n_runs": 100, "pinned": ["gpu"], "gpu_mhz": 5}
    path.write_text(json.dumps({"row": row}) + "\n")


def read_lines(path: Path) -> list[Any]:
    return [read_message(part) for part in path.read_bytes().splitlines()]


def read_plan(path: Path) -> Any:
    link = Link(io.FileIO("/dev/null", "w"))
    with io.FileIO(path) as file:
        link.source = file
        return link.plan()


def study_journal(path: Path) -> None:
    storage = open_storage(None, path)
    study = optuna.create_study(storage=storage, study_name="nas", directions=["minimize"] * 2)
    study.add_trials([optuna.create_trial(values=[1.0, i]) for i in range(3)])


def study_database(path: Path) -> None:
    storage = open_storage(f"sqlite:///{path}", path)
    study = optuna.create_study(storage=storage, study_name="nas", directions=["minimize"] * 2)
    study.add_trials([optuna.create_trial(values=[1.0, i]) for i in range(3)])
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")


def read_study(storage: str | None, path: Path) -> Any:
    from nas.search.study.storage import faults_named

    opened = open_storage(storage, path)
    with faults_named(str(path)):
        found = [opened.get_all_trials(study._study_id) for study in opened.get_all_studies()]
        return [str(trial) for of in found for trial in of]


def evaluations(path: Path) -> None:
    log = EvaluationLog(path, HEADER)
    for i in range(3):
        log.add(f"subnet{i}", np.arange(4, dtype=np.int32).reshape(2, 2) + i)
    log.close()


def read_evaluations(path: Path) -> Any:
    log = EvaluationLog(path, HEADER)
    log.close()
    return {name: counts.tolist() for name, counts in log.counts.items()}


def card(path: Path) -> None:
    weights(path.with_name("weights.safetensors"))
    path.write_text("# A card\n\nTrained on *digits*: 98 %\n")


def read_card(path: Path) -> str:
    with redirect_stdout(io.StringIO()) as said:
        info(str(path.parent))
    assert "\x1b" not in said.getvalue()
    return said.getvalue()


FINGERPRINT = {"device": "nano", "others": ["orin-nano"], "seed": 0, "n_trials": 100}


def read_state(path: Path) -> Any:
    _check_same(path, FINGERPRINT)
    return _devices_of(path)


def manifest(path: Path) -> None:
    content: dict[str, Any] = {**small_manifest()}
    content["content_sha256"] = content_sha256(content)
    path.write_text(json.dumps(content, indent=1))
    for file in content["files"]:
        (path.parent / file).write_text(file)


def read_folder(path: Path) -> Any:
    content = read_manifest(str(path.parent)).content
    return [content[key] for key in ("input", "networks", "configurations", "files")]


def traces(path: Path) -> None:
    confidence = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 4, 3)
    write_traces(str(path), Traces({"n_images": 4}, ["a", "b"], confidence, confidence > 0.5))


def read_them(path: Path) -> Any:
    found = read_traces(str(path))
    return found.subnets, found.confidence.tolist(), found.correct.tolist()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros((4, 1, 8, 8), dtype=np.uint8))
    return file.getvalue()


def read_array(path: Path) -> Any:
    return int(_read_images(path).sum())


def picture_of_a_board(path: Path) -> None:
    picture("bars", rng(), side=8).save(path)


def read_picture(path: Path) -> Any:
    """With Pillow and without it."""
    found = read_image(str(path)).tolist()
    with patch("nas.start.images._pillow", lambda: None):
        assert read_image(str(path)).tolist() == found
    return found


def read_log(path: Path) -> Any:
    log = read_power_log(path)
    assert np.isfinite(log.watts).all()
    return log.at_s.tolist(), log.watts.tolist()


TEGRASTATS = "".join(
    f"11-29-2026 12:00:0{i} RAM 2673/7765MB (lfb 118x4MB) SWAP 0/3883MB (cached 0MB) "
    f"CPU [1%@1190,off] VDD_IN 36{i}1mW/3611mW VDD_CPU_GPU_CV 1331mW/1180mW\n"
    for i in range(5)
)
LUT = "Conv-input:224x224x3-output:112x112x16: {mean: 1.5, std: 0.25, count: 3}\n"
CONFIG = '{"ks": 3, "e": 6, "d": 2, "r": 224}'
PLAN = '{"plan": {"device": {}}}\n{"task": {"id": "a"}}\n{"end": true}\n'

FORMATS: dict[str, Format] = {
    "rows": Format("rows.csv", rows_csv, lambda p: read_rows(p, DIGITS).to_csv(), 120),
    "rows in Parquet": Format(
        "rows.parquet", rows_parquet, lambda p: read_rows(p, DIGITS).to_csv(), 100
    ),
    "resumed rows": Format("own.csv", rows_csv, lambda p: Table(p).rows, 130),
    "accuracies": Format(
        "accuracy.safetensors",
        accuracies,
        lambda p: read_accuracy_table(p, DIGITS).digest,
        130,
        vouched=b"content_sha256",
    ),
    "errors": Format("errors.csv", errors_csv, lambda p: read_accuracy_table(p, CELLS).digest, 60),
    "look-up table": Format("9_lookup_table.yaml", text(LUT), read_ofa_lut),
    "sidecar": Format("latency_ms.json", predictor, predicted, vouched=DIGEST),
    "trees": Format("latency_ms.ubj", predictor, predicted, 100, vouched=b""),
    "pool's sidecar": Format("transfer_latency_ms.json", pool, pooled, 50, vouched=DIGEST),
    "pool": Format("transfer_latency_ms.safetensors", pool, pooled, 100, vouched=b""),
    "accuracy predictor's sidecar": Format(
        "accuracy_predictor.json", accuracy_predictor, predicted_accuracy, 150, vouched=DIGEST
    ),
    "accuracy predictor": Format(
        "accuracy_predictor.safetensors", accuracy_predictor, predicted_accuracy, vouched=b""
    ),
    "optimiser's sidecar": Format(
        "optimiser.json", lambda p: trained().save(p.parent), designed, 150, vouched=DIGEST
    ),
    "optimiser": Format(
        "optimiser.safetensors", lambda p: trained().save(p.parent), designed, 100, vouched=b""
    ),
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
    "profile": Format(
        "nano.toml",
        lambda p: p.write_bytes((REPO / "nas/devices/profiles/nano.toml").read_bytes()),
        lambda p: load_profile(str(p)).name,
        100,
    ),
    "image": Format("a/0.png", pictures, lambda p: images_of(p.parents[1]), 40),
    "photograph": Format("a/0.jpg", pictures, lambda p: images_of(p.parents[1]), 40),
    "idx labels": Format(
        "train-labels-idx1-ubyte",
        lambda p: write_idx(p.parent, [0, 1, 2, 0, 1, 2], side=8),
        lambda p: images_of(p.parent),
    ),
    "idx images": Format(
        "train-images-idx3-ubyte.gz",
        lambda p: write_idx(p.parent, [0, 1, 2, 0, 1, 2], side=8, gz=True),
        lambda p: images_of(p.parent),
    ),
    "CIFAR-10": Format(
        "data_batch_3.bin", records(BATCHES, 1, 1001), lambda p: images_of(p.parent), 3
    ),
    "CIFAR-100": Format(
        "train.bin", records("train.bin test.bin", 2, 5010), lambda p: images_of(p.parent), 3
    ),
    "CIFAR-100's names": Format(
        "fine_label_names.txt",
        records("train.bin test.bin", 2, 5010),
        lambda p: images_of(p.parent),
        3,
    ),
    "board's journal": Format(
        "clocks.journal", journal, lambda p: Journal(Sysfs(str(p.parent)), str(p)).close(), 300
    ),
    "board's line": Format("line.json", row_line, read_lines, 150),
    "board's rows": Format("rows.jsonl", row_line, lambda p: Rows(str(p)).fresh(), 130),
    "plan for a board": Format("plan.jsonl", text(PLAN), read_plan, 130),
    "trtexec's times": Format(
        "times.json", text('[{"latencyMs": 1.5}]'), lambda p: read_times(str(p)), 300
    ),
    "trtexec's notes": Format(
        "engine.notes", text('["a"]'), lambda p: _read_notes(str(p.with_suffix(""))), 150
    ),
    "study's journal": Format("study.journal", study_journal, lambda p: read_study(None, p)),
    "study's database": Format(
        "study.db", study_database, lambda p: read_study(f"sqlite:///{p}", p), 8
    ),
    "evaluations": Format("evaluations.jsonl", evaluations, read_evaluations, 130),
    "card": Format("card.md", card, read_card),
    "run": Format("run.json", text(json.dumps(FINGERPRINT)), read_state),
    "configuration": Format(
        "net.config",
        text(CONFIG),
        lambda p: (is_configuration(p), _subnet("ofa-mobilenetv3", p)),
        130,
    ),
    "published accuracies": Format(
        "entry.json",
        lambda p: p.write_bytes((REPO / "supernets/zoo/ofa-mobilenetv3/entry.json").read_bytes()),
        lambda p: read_entry(p.parent).model_dump(),
    ),
    "result": Format(
        "pareto.json",
        text(json.dumps(small_result(), indent=1)),
        lambda p: (read_warm_start(p, DIGITS).subnets, read_pareto(p).content["points"]),
        150,
    ),
    "manifest": Format("manifest.json", manifest, read_folder, 300, vouched=DIGEST),
    "segment": Format(
        "net0-0.onnx", lambda p: manifest(p.parent / "manifest.json"), read_folder, 100, vouched=b""
    ),
    "exit traces": Format("traces.npz", traces, read_them, 200, vouched=b""),
    "arrivals": Format(
        "arrivals.csv", text("0,1\n16.7,2\n33,1\n"), lambda p: read_arrivals(str(p)), 200
    ),
    "image on a board": Format("a.png", picture_of_a_board, read_picture, 100),
    "power log": Format("tegrastats.log", text(TEGRASTATS), read_log, 130),
    "images of a board": Format("images.npy", data(array), read_array),
}
PARQUET = find_spec("pyarrow") is not None  # an extra
if not PARQUET:
    del FORMATS["rows in Parquet"]
