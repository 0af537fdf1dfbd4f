"""One configuration of once-for-all as a table of a single point: what an export needs of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from nas.devices import AnalyticDevice, load_profile
from nas.pareto import ParetoTable, Point
from nas.pareto.provenance import MEASURED, PREDICTED
from nas.zoo.folder import folder_table
from nas.zoo.published import ENTRY, read_published
from predictors import AccuracyPredictor, lookup
from search_spaces import ExitPolicy, InputError, Space, json_object, read_text
from supernets import load_supernet, sha256

DEVICE = "x86-cpu"  # whose model says what the subnet costs, at its top clock
MAX_BYTES = 1 << 20
KEYS = {"ks", "d", "blocks"}  # of configurations and of `net.config`


def is_configuration(path: Path) -> bool:
    """Whether a file holds a subnet as once-for-all writes it: `ks, e, d` or `net.config`."""
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return False
    try:
        found = json_object(read_text(path), path)
    except InputError:
        return False
    return "schema" not in found and bool(KEYS & set(found))


def table_of_one(path: Path, folder: Path) -> ParetoTable:
    """The configuration in `path` as the only point of a table of the supernet in `folder`.

    Its error is the folder's (evaluated, published or predicted). InputError: no subnet that the
    folder's accuracies cover.
    """
    supernet, metadata = load_supernet(folder / "weights.safetensors")
    device = AnalyticDevice(load_profile(DEVICE))
    point = _point(supernet.space, read_text(path), folder, device, path.stem)
    content: dict[str, Any] = {
        "space": supernet.space.name,
        "supernet": {
            "name": folder.name,
            "sha256": sha256(folder / "weights.safetensors"),
            "dataset": metadata["dataset"],
        },
        "device": {
            "name": device.name,
            "processor": device.processor,
            "backend": device.backend,
            "precision": device.precision,
            "batch": device.batch,
            "power_mode": device.power_mode,
        },
        "levels": [level.to_dict() for level in device.levels],
        "points": [point],
        "front": [point["id"]],
    }
    return ParetoTable(cast(Any, content))


def _point(space: Space, text: str, folder: Path, device: AnalyticDevice, name: str) -> Point:
    if (folder / ENTRY).exists():
        _, covered, table, predictor = read_published(folder)
    else:
        covered, table = space, folder_table(folder, space)
        predictor = AccuracyPredictor.load(folder / "predictor", space)
    genes = covered.genes([covered.parse(text)])
    error, rates, known = lookup(table, predictor, genes)
    whole = table.grid.index(ExitPolicy())
    heads = np.arange(space.n_exits + 1)[None] == space.n_exits
    operators = covered.operators(genes, heads)
    latency_ms, energy_mj = (float(x[0, -1]) for x in device.cost(operators))
    predicted = PREDICTED if table.source == MEASURED else f"{PREDICTED} ({table.source})"
    return {
        "id": name,
        "level": device.levels[-1].level,
        "subnet": str(covered.subnet(genes[0])),
        "exits": {"after": [], "thresholds": []},
        "top1_error_pct": round(float(error[0, whole]), 4),
        "error_source": table.source if known[0] else predicted,
        "latency_ms": round(latency_ms, 6),
        "latency_worst_ms": round(latency_ms, 6),
        "latency_interval_ms": None,
        "latency_source": device.source,
        "energy_mj": round(energy_mj, 6),
        "energy_source": device.source,
        "exit_rates": [round(float(rate), 4) for rate in rates[0, whole]],
        "macs": int(operators.macs.sum()),
        "params": int(operators.params.sum()),
    }
