"""Accuracy of subnets never evaluated, from 50, 100 and 200 that were.

    python benchmarks/accuracy.py --data hardware

The zoo's own table (top-1 error and exit rates under all 729 policies) and 1,668 distinct
once-for-all subnets evaluated on ImageNet by DyNAS-T (one policy). `AccuracyPredictor` beside
ridge regression and a multi-layer perceptron on the same features; Kendall's tau and MAPE of the
error and the mean absolute error of exit rates on the subnets left out, mean of five draws.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nas.zoo.folder import supernet_folder
from predictors import AccuracyPredictor, AccuracyTable, kendall_tau, mape_pct, read_accuracy_table
from search_spaces import MobileNetV3Space, PolicyGrid, Space, encode, get_space

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
SIZES, SEEDS = (50, 100, 200), 5


def zoo() -> tuple[Space, AccuracyTable]:
    """The table that ships with the project."""
    space = get_space("resnet-cifar")
    return space, read_accuracy_table(supernet_folder("auto") / "accuracy.safetensors", space)


def dynast(folder: Path) -> tuple[Space, AccuracyTable]:
    """Distinct once-for-all subnets at 224 pixels; repeated ones are averaged."""
    space = MobileNetV3Space()
    rows = pd.read_csv(folder / "ofa_mobilenetv3" / "accuracy_dynast.csv.gz")
    configs = [
        {n: [int(v) for v in row[n].split("-")] for n in ("ks", "e", "d")} | {"r": [224]}
        for row in rows.to_dict("records")
    ]
    genes = space.genes(map(space.from_ofa, configs))
    error = 100 - rows["imagenet_top1_pct"].to_numpy()
    unique, inverse = np.unique(genes, axis=0, return_inverse=True)
    mean = np.bincount(inverse, weights=error) / np.bincount(inverse)
    grid = PolicyGrid(0, ())
    ones = np.ones((len(unique), 1, 1), dtype=np.float32)
    return space, AccuracyTable(unique, grid, mean[:, None].astype(np.float32), ones)


def compare(name: str, space: Space, table: AccuracyTable) -> Iterator[dict[str, Any]]:
    """Rows of one table: method x size, mean over seeds."""
    heads = np.ones((1, space.n_exits + 1), dtype=bool)
    X = StandardScaler().fit_transform(encode(space, table.genes, heads))
    error, rate = table.top1_error_pct, table.exit_rate.reshape(len(table), -1)
    for size in SIZES:
        scores: dict[str, list[tuple[float, float, float]]] = {}
        for seed in range(SEEDS):
            order = np.random.default_rng(seed).permutation(len(table))
            train, test = order[:size], order[size:]
            ours = AccuracyPredictor(space).fit(table[train]).predict(table.genes[test])
            found = {"ours": (ours[0], ours[1].reshape(len(test), -1))}
            both = np.concatenate([error, rate], axis=1)[train]
            split = error.shape[1]
            for method, model in (
                ("ridge", RidgeCV(np.logspace(-3, 3, 13))),
                ("MLP", TransformedTargetRegressor(_mlp(), transformer=StandardScaler())),
            ):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    fitted = make_pipeline(StandardScaler(), model).fit(X[train], both)
                predicted = fitted.predict(X[test]).reshape(len(test), -1)
                found[method] = predicted[:, :split], predicted[:, split:]
            for method, (e, r) in found.items():
                taus = [kendall_tau(error[test, p], e[:, p]) for p in range(0, split, 25)]
                quality = float(np.mean(taus)), mape_pct(error[test], e)
                gap = float(np.abs(r - rate[test]).mean())
                scores.setdefault(method, []).append((*quality, gap))
        for method, values in scores.items():
            tau, mape, gap = np.mean(values, axis=0)
            yield {
                "table": name,
                "method": method,
                "n_evaluated": size,
                "kendall_tau": round(float(tau), 3),
                "tau_spread": round(float(np.std([v[0] for v in values])), 3),
                "error_mape_pct": round(float(mape), 2),
                "exit_rate_mae": round(float(gap), 4) if space.n_exits else None,
            }


def _mlp() -> MLPRegressor:
    return MLPRegressor(hidden_layer_sizes=(128, 128), max_iter=1500, random_state=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of measured tables; without: our zoo")
    arguments = parser.parse_args()
    space, table = zoo()
    rows = list(compare("zoo resnet-cifar10", space, table))
    if arguments.data:
        rows += compare("once-for-all on ImageNet", *dynast(arguments.data))
    result = {
        "command": "python benchmarks/accuracy.py --data hardware",
        "weights_sha256": table.supernet_sha256,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
