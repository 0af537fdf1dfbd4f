"""Time of encoding, training and predicting, on the bundled space with random costs.

python benchmarks/predictor_speed.py
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.devices.host import cpu_name
from predictors import LatencyPredictor
from search_spaces import encode, get_space

RESULTS = Path(__file__).parent / "results" / "predictor_speed.json"
N_TRAIN, N_PREDICT, REPEATS = 5_000, 300_000, 3


def seconds(run: Callable[[], object]) -> float:
    """Median of some runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    space, rng = get_space("resnet-cifar"), np.random.default_rng(0)
    genes = space.sample(100_000, rng)
    heads = rng.random((len(genes), space.n_exits + 1)) < 0.5
    heads[:, -1] = True
    X = encode(space, genes, heads)
    y = np.exp(rng.normal(0, 0.1, len(X))) * (1 + X[:, space.genes([]).shape[1] :].sum(axis=1))
    fitted = LatencyPredictor().fit(X[:N_TRAIN], y[:N_TRAIN])
    many = X[rng.integers(0, len(X), N_PREDICT)]
    result = {
        "command": "python benchmarks/predictor_speed.py",
        "host": f"{cpu_name()}, {os.cpu_count()} cores",
        "source": "measured",
        "train_5000_rows_s": seconds(lambda: LatencyPredictor().fit(X[:N_TRAIN], y[:N_TRAIN])),
        "predicted_rows_per_s": N_PREDICT / seconds(lambda: fitted.predict(many)),
        "encoded_subnets_per_s": len(genes) / seconds(lambda: encode(space, genes, heads)),
    }
    result = {k: round(v, 3) if isinstance(v, float) else v for k, v in result.items()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
