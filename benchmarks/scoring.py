"""How fast configurations are scored and archived, and what a search of 1,000 subnets costs.

    python benchmarks/scoring.py

One configuration is a subnet under one exit policy at one DVFS level. The accuracies come from the
supernet in the zoo, the costs from the proxy and 24 simulated rows of Xavier NX.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from nas.devices import get_device
from nas.devices.host import cpu_name
from nas.search import Scorer, SearchSettings, load_proxy, plan_search, run_search, target_costs
from nas.search.front.archive import Archive
from nas.search.model import load_model
from nas.search.score.bounds import Bounds
from nas.search.target_rows import measure_plan
from nas.transfer.plan import write_plan
from predictors import read_rows

RESULTS = Path(__file__).parent / "results" / "scoring.json"
REPEATS, SUBNETS = 5, 100


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = SearchSettings("xavier-nx", Path(folder) / "run")
        model, device = load_model(settings), get_device("xavier-nx")
        rows = Path(folder) / "rows.csv"
        write_plan(measure_plan(model.space, device, plan_search(settings)), rows)
        proxy = load_proxy(model.space, "auto")
        costs = target_costs(model.space, device, proxy, read_rows(rows, model.space))
        scorer = Scorer(model.accuracy, costs, device.decision_ms)
        archive = Archive(len(device.levels), Bounds())
        scored, archived = [], []
        for repeat in range(REPEATS):
            genes = model.space.sample(SUBNETS, np.random.default_rng(repeat))
            start = time.perf_counter()
            scores = scorer(genes)
            middle = time.perf_counter()
            archive.add(genes, scores)
            scored.append(scores.latency_ms.size / (middle - start))
            archived.append(scores.latency_ms.size / (time.perf_counter() - middle))
        start = time.perf_counter()
        run_search(settings)
        seconds = time.perf_counter() - start
    row = {
        "host": f"{cpu_name()}, {os.cpu_count()} cores",
        "weights_sha256": (model.supernet or {}).get("sha256"),
        "configurations_scored_per_s": round(float(np.median(scored))),
        "configurations_archived_per_s": round(float(np.median(archived))),
        "search_of_1000_subnets_s": round(seconds, 1),
    }
    for key, value in row.items():
        print(f"{key:32} {value}")
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"command": "python benchmarks/scoring.py", "rows": [row]}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
