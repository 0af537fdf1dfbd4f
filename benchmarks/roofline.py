"""What roofline terms add to the features of a cost predictor, by number of training rows.

    python benchmarks/roofline.py

A term is the sum over a program's operators of max(MACs / intensity, elements moved), at a few
arithmetic intensities. Rows: the bundled host rows (measured), and the analytic models of devices
at their top clock (simulated) with 2 % of noise in training. Test subnets are never trained on;
repeats share their splits between the variants.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np

from nas.devices import get_device
from predictors import LatencyPredictor, genes_and_heads, mape_pct, read_rows, srcc
from search_spaces import encode, get_space

RESULTS = Path(__file__).parent / "results" / "roofline.csv"
VARIANTS = {"none": (), "16": (16,), "8 64": (8, 64), "4 16 64 256": (4, 16, 64, 256)}
N_TRAIN, N_TEST, REPEATS, NOISE = (100, 300, 1000), 400, 5, 0.02
SIMULATED = ("xavier-nx", "tx2", "nano", "x86-cpu")


def terms(operators, intensities):
    """`(n, intensities)`, in millions of elements."""
    return np.stack(
        [np.maximum(operators.macs / i, operators.elements_moved).sum(1) / 1e6 for i in intensities]
        or [np.empty(len(operators.macs))],
        axis=1,
    )[:, : len(intensities)]


def tables() -> Iterator[tuple]:
    """Name, operators, features, cost and subnets of every table."""
    space = get_space("resnet-cifar")
    rows = read_rows(str(files("nas.devices") / "proxies" / "resnet-cifar-host.csv"), space)
    genes, heads = genes_and_heads(rows, space)
    y = rows["latency_ms"].to_numpy()
    names = rows["subnet"].to_numpy(str)
    yield "resnet-cifar", "host", "measured", space, genes, heads, y, names
    for name in ("resnet-cifar", "ofa-mobilenetv3"):
        space, rng = get_space(name), np.random.default_rng(0)
        genes = np.unique(space.sample_spread(1500, rng), axis=0)
        deepest = rng.integers(0, space.n_exits + 1, len(genes))
        heads = np.arange(space.n_exits + 1) == deepest[:, None]
        for device in SIMULATED:
            y = get_device(device).cost(space.operators(genes, heads))[0][:, -1]
            yield name, device, "simulated", space, genes, heads, y, np.arange(len(y))


def main() -> None:
    out = csv.writer(RESULTS.open("w"), lineterminator="\n")
    header = ("space", "device", "source", "rows", "intensities", "mape_pct", "srcc")
    for to in (out, csv.writer(sys.stdout)):
        to.writerow(header)
    for space_name, device, source, space, genes, heads, y, names in tables():
        plain, operators = encode(space, genes, heads), space.operators(genes, heads)
        for n in N_TRAIN:
            for variant, intensities in VARIANTS.items():
                X = np.column_stack([plain, terms(operators, intensities)])
                quality = []
                for repeat in range(REPEATS):
                    rng = np.random.default_rng(repeat)
                    order = rng.permutation(np.unique(names))
                    test = np.isin(names, order[: len(order) // 4])
                    train = rng.permutation(np.flatnonzero(~test))[:n]
                    noise = np.exp(rng.normal(0, NOISE, len(y))) if source == "simulated" else 1.0
                    fitted = LatencyPredictor().fit(X[train], (y * noise)[train])
                    predicted = fitted.predict(X[test])
                    quality.append((mape_pct(y[test], predicted), srcc(y[test], predicted)))
                mape, rank = np.mean(quality, axis=0)
                row = (space_name, device, source, n, variant, f"{mape:.2f}", f"{rank:.4f}")
                for to in (out, csv.writer(sys.stdout)):
                    to.writerow(row)
                sys.stdout.flush()


if __name__ == "__main__":
    main()
