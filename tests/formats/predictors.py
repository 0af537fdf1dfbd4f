"""Saved predictors: a sidecar beside what it vouches for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from nas.transfer.saved import load_costs
from predictors import (
    AccuracyPredictor,
    LatencyPredictor,
    NeuralOptimizer,
    TransferPredictor,
    learn_prior,
    load_predictor,
    load_transfer,
    save_predictor,
    save_transfer,
)
from tests.formats.kind import CELLS, DIGEST, DIGITS, FEATURES, GENES, Format
from tests.predictors.synthetic import accuracy_table


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


FORMATS = {
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
}
