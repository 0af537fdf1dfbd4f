"""Trees alone and trees that correct a sum of work, on the bundled host rows, by training size.

    python benchmarks/work_columns.py

320 subnets of the CIFAR space with five programs each, measured. n subnets are drawn, all programs
of the others are judged; `dear` trains on the cheaper half of the subnets and judges the dearest
quarter. Which columns are work was settled on other rows (`benchmarks/jetson_nano.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from predictors import LatencyPredictor, genes_and_heads, mape_pct, read_rows, srcc
from search_spaces import encode, feature_names, get_space, work_columns

RESULTS = Path(__file__).parent / "results" / "work_columns.json"
SIZES, N_SEEDS = (10, 25, 50, 100, 200), 10


def splits(subnet: NDArray[np.int64], y: NDArray) -> Iterator[tuple[str | int, NDArray[np.bool_]]]:
    """Name and training rows; the rest is judged, or of `dear` the dearest quarter."""
    for seed in range(N_SEEDS):
        order = np.random.default_rng(seed).permutation(subnet.max() + 1)
        for n in SIZES:
            yield n, np.isin(subnet, order[:n])
    dearest = pd.Series(y).groupby(subnet).transform("max").to_numpy()
    yield "dear", dearest < np.quantile(dearest, 0.5)


def main() -> None:
    space = get_space("resnet-cifar")
    rows = read_rows(Path(str(files("nas.devices") / "proxies" / "resnet-cifar-host.csv")), space)
    X, y = encode(space, *genes_and_heads(rows, space)), rows["latency_ms"].to_numpy()
    names, work = feature_names(space), work_columns(space)
    subnet = np.unique(rows["subnet"], return_inverse=True)[1]
    dearest = pd.Series(y).groupby(subnet).transform("max").to_numpy()
    results: list[dict[str, Any]] = []
    for split, train in splits(subnet, y):
        judged = dearest > np.quantile(dearest, 0.75) if split == "dear" else ~train
        for method, columns in (("trees", ()), ("trees on work", work)):
            model = LatencyPredictor(work_columns=columns).fit(X[train], y[train])
            cost = model.predict(X[judged])
            scores = {"mape_pct": mape_pct(y[judged], cost), "srcc": srcc(y[judged], cost)}
            results.append({"n_subnets": str(split), "method": method, **scores})
    means = pd.DataFrame(results).groupby(["n_subnets", "method"], sort=False).mean()
    table = means.round({"mape_pct": 2, "srcc": 4}).reset_index()
    about = {
        "command": "python benchmarks/work_columns.py",
        "source": "predicted, judged on measured rows",
        "work_columns": [names[i] for i in work],
        "rows": table.to_dict("records"),
    }
    RESULTS.write_text(json.dumps(about, indent=1) + "\n")
    print(table.to_string())


if __name__ == "__main__":
    main()
