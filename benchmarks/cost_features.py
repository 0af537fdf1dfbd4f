"""What a cost predictor gains from the law of work and from roofline terms, by training rows.

    python benchmarks/cost_features.py

`trees` is XGBoost on the log cost, `law` the sum of features alone, `law+trees` what
`LatencyPredictor` is. A roofline term is the sum over a program's operators of
max(MACs / intensity, elements moved), in MACs and elements, at arithmetic intensities 4 to 256.
Rows: the bundled host rows (measured), and the analytic models of devices at their top clock
(simulated) with 2 % of noise in training. Every repeat holds a quarter of the subnets out, the same
ones for all variants.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from xgboost import XGBRegressor

from nas.devices import get_device
from predictors import LatencyPredictor, genes_and_heads, mape_pct, read_rows, srcc
from predictors.cost.work import WorkLaw
from search_spaces import Operators, encode, get_space

RESULTS = Path(__file__).parent / "results" / "cost_features.csv"
INTENSITIES = (4, 16, 64, 256)  # MACs per element
N_TRAIN, REPEATS, NOISE = (100, 300, 1000), 5, 0.02
SIMULATED = ("xavier-nx", "tx2", "nano", "x86-cpu")


def roofline_terms(operators: Operators) -> np.ndarray:
    """`(n, intensities)`, in millions of elements."""
    macs, moved = operators.macs, operators.elements_moved
    return np.stack([np.maximum(macs / i, moved).sum(axis=1) / 1e6 for i in INTENSITIES], axis=1)


def trees(X: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """XGBoost alone, with the settings of the predictor."""
    settings = LatencyPredictor().get_params()
    del settings["n_folds"]
    return np.exp(XGBRegressor(n_jobs=1, **settings).fit(X, np.log(y)).predict(asked))


def law(X: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return np.exp(WorkLaw.fit(X, y).log_cost(asked))


def law_and_trees(X: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return LatencyPredictor(n_folds=0).fit(X, y).predict(asked)


VARIANTS: dict[str, tuple[Any, bool]] = {
    "trees": (trees, False),
    "trees, roofline": (trees, True),
    "law": (law, False),
    "law+trees": (law_and_trees, False),
    "law+trees, roofline": (law_and_trees, True),
}


def tables() -> Iterator[tuple[Any, ...]]:
    """Space, device, source, genes, heads, costs and subnet names of every table."""
    space = get_space("resnet-cifar")
    rows = read_rows(str(files("nas.devices") / "proxies" / "resnet-cifar-host.csv"), space)
    genes, heads = genes_and_heads(rows, space)
    names = rows["subnet"].to_numpy(str)
    yield space, "host", "measured", genes, heads, rows["latency_ms"].to_numpy(), names
    for name in ("resnet-cifar", "ofa-mobilenetv3"):
        space, rng = get_space(name), np.random.default_rng(0)
        genes = np.unique(space.sample_spread(1500, rng), axis=0)
        deepest = rng.integers(0, space.n_exits + 1, len(genes))
        heads = np.arange(space.n_exits + 1) == deepest[:, None]
        for device in SIMULATED:
            cost = get_device(device).cost(space.operators(genes, heads))[0][:, -1]
            yield space, device, "simulated", genes, heads, cost, np.arange(len(genes))


def main() -> None:
    rows = [("space", "device", "source", "rows", "predictor", "mape_pct", "srcc")]
    for space, device, source, genes, heads, y, names in tables():
        plain = encode(space, genes, heads)
        more = np.column_stack([plain, roofline_terms(space.operators(genes, heads))])
        for n in N_TRAIN:
            for variant, (fit_predict, with_terms) in VARIANTS.items():
                X, quality = more if with_terms else plain, []
                for repeat in range(REPEATS):
                    rng = np.random.default_rng(repeat)
                    order = rng.permutation(np.unique(names))
                    test = np.isin(names, order[: len(order) // 4])
                    train = rng.permutation(np.flatnonzero(~test))[:n]
                    noise = (
                        np.exp(rng.normal(0, NOISE, len(train))) if source == "simulated" else 1.0
                    )
                    predicted = fit_predict(X[train], y[train] * noise, X[test])
                    quality.append((mape_pct(y[test], predicted), srcc(y[test], predicted)))
                mape, rank = np.mean(quality, axis=0)
                rows.append((space.name, device, source, n, variant, f"{mape:.2f}", f"{rank:.4f}"))
                print(*rows[-1], sep=",", flush=True)
    with RESULTS.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
