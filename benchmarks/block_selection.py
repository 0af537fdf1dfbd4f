"""Unaligned g x 1 blocks: what each way of selecting them retains, and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/block_selection.py

Weights of the zoo's trained CIFAR-10 network and random ones. Retained is the sum of |w| that stays
as a share of the optimum at the same number of blocks. Times are those of one core (CPU time of a
process with one thread), the least of interleaved runs.
"""

from __future__ import annotations

import json
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.devices.host import cpu_name
from supernets import ElasticConv2d, load_supernet
from supernets.pruning import METHODS, block_mask, select_blocks

RESULTS = Path(__file__).parent / "results" / "block_selection.json"
TIMED = ((512, 8, 0.5), (512, 8, 0.9), (1024, 4, 0.5), (1024, 4, 0.9))  # side, g, sparsity
REPEATS, SLOW_REPEATS = 7, 2
Weights = dict[str, NDArray[np.float64]]


def zoo_weights() -> Weights:
    """Every convolution of the zoo's network behind the stem, (c_out, c_in * taps)."""
    net, _ = load_supernet(Path(str(files("supernets"))) / "zoo/resnet-cifar10/weights.safetensors")
    return {
        name: m.weight.detach().double().numpy().reshape(len(m.weight), -1)
        for name, m in net.named_modules()
        if isinstance(m, ElasticConv2d) and name != "stem"
    }


def random_weights() -> Weights:
    rng = np.random.default_rng(0)
    return {
        f"{kind} {side}x{side}": getattr(rng, kind)(size=(side, side))
        for side in (64, 128, 256)
        for kind in ("normal", "laplace")
    }


def retained_rows(weights: Weights, g: int, sparsity: float) -> list[dict[str, object]]:
    """One row per layer: blocks, the share of the weight kept by the optimum, others beside it."""
    rows = []
    for name, w in weights.items():
        if len(w) < g:
            continue
        starts = {m: select_blocks({name: w}, g, sparsity, method=m)[name] for m in METHODS}
        kept = {m: float(np.abs(w)[block_mask(s, g)].sum()) for m, s in starts.items()}
        row: dict[str, object] = {"layer": name, "shape": list(w.shape), "g": g}
        row |= {"sparsity": sparsity, "blocks": int(starts["exact"].sum())}
        row["optimum_share"] = round(kept["exact"] / float(np.abs(w).sum()), 6)
        row |= {m: round(kept[m] / kept["exact"], 9) for m in METHODS if m != "exact"}
        rows.append(row)
    return rows


def times_ms(side: int, g: int, sparsity: float) -> dict[str, list[float]]:
    """Milliseconds of every run; the methods take turns."""
    weight = {"w": np.random.default_rng(0).normal(size=(side, side))}
    times: dict[str, list[float]] = {m: [] for m in METHODS}
    for i in range(REPEATS):
        for method, found in times.items():
            if method == "programme" and i >= SLOW_REPEATS:
                continue
            start = time.process_time()
            select_blocks(weight, g, sparsity, method=method)
            found.append(round(1e3 * (time.process_time() - start), 2))
    return times


def main() -> None:
    timed = [
        {"side": side, "g": g, "sparsity": s, "least_ms": {m: min(t) for m, t in found.items()}}
        | {"samples_ms": found}
        for side, g, s in TIMED
        for found in [times_ms(side, g, s)]
    ]
    for row in timed:
        print(row["side"], row["g"], row["sparsity"], row["least_ms"], flush=True)
    retained = []
    for where, weights in (("zoo", zoo_weights()), ("random", random_weights())):
        for g in (4, 8):
            for sparsity in (0.5, 0.8, 0.9):
                rows = retained_rows(weights, g, sparsity)
                retained += rows
                shown = "  ".join(
                    f"{m} {np.mean([r[m] for r in rows]):.4f} (least {min(r[m] for r in rows):.4f})"
                    for m in METHODS[1:]
                )
                print(f"{where} g={g} {sparsity:.0%}: {shown}", flush=True)
    result = {"cpu": cpu_name(), "numpy": np.__version__, "times": timed, "retained": retained}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
