"""Unaligned g x 1 blocks: what each way of selecting them retains, and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/block_selection.py [--layouts]

Weights of the zoo's trained CIFAR-10 network and random ones. Retained is the sum of |w| that stays
as a share of the optimum at the same number of blocks. Times are those of one core (CPU time of a
process with one thread), the least of interleaved runs. `--layouts` renews what blocks of other
shapes retain, and nothing else.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.devices.host import cpu_name
from supernets import ElasticConv2d, load_supernet
from supernets.pruning import METHODS, block_mask, retained, select_blocks
from supernets.pruning.layouts import select_tiles, tile_mask

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


def layout_rows(weights: Weights, sparsity: float) -> list[dict[str, object]]:
    """The share of the sum of |w| that blocks of four or eight weights keep, by their shape."""
    rows = []
    for name, w in weights.items():
        if len(w) < 8:
            continue
        row: dict[str, object] = {"layer": name, "shape": list(w.shape), "sparsity": sparsity}
        for g in (4, 8):
            for method in ("exact", "aligned"):
                starts = select_blocks({name: w}, g, sparsity, method=method)[name]
                row[f"{g} x 1 {method}"] = retained(w, block_mask(starts, g))
        for tile in ((1, 4), (2, 4), (1, 8)):
            mask = tile_mask(select_tiles(w, *tile, sparsity), *tile, len(w))
            row[f"{tile[0]} x {tile[1]}"] = retained(w, mask)
        rows.append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
    return rows


def add_layouts(result: dict[str, Any]) -> None:
    weights = zoo_weights()
    result["layouts"] = [row for s in (0.8, 0.9) for row in layout_rows(weights, s)]
    for sparsity in (0.8, 0.9):
        found = [r for r in result["layouts"] if r["sparsity"] == sparsity]
        names = [key for key in found[0] if " x " in key]
        means = "  ".join(f"{n} {np.mean([r[n] for r in found]):.3f}" for n in names)
        print(f"zoo {sparsity:.0%}: {means}")


def main() -> None:
    if "--layouts" in sys.argv[1:]:
        result = json.loads(RESULTS.read_text())
        add_layouts(result)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
        return
    timed = [
        {"side": side, "g": g, "sparsity": s, "least_ms": {m: min(t) for m, t in found.items()}}
        | {"samples_ms": found}
        for side, g, s in TIMED
        for found in [times_ms(side, g, s)]
    ]
    for row in timed:
        print(row["side"], row["g"], row["sparsity"], row["least_ms"], flush=True)
    kept = []
    for where, weights in (("zoo", zoo_weights()), ("random", random_weights())):
        for g in (4, 8):
            for sparsity in (0.5, 0.8, 0.9):
                rows = retained_rows(weights, g, sparsity)
                kept += rows
                shown = "  ".join(
                    f"{m} {np.mean([r[m] for r in rows]):.4f} (least {min(r[m] for r in rows):.4f})"
                    for m in METHODS[1:]
                )
                print(f"{where} g={g} {sparsity:.0%}: {shown}", flush=True)
    result = {"cpu": cpu_name(), "numpy": np.__version__, "times": timed, "retained": kept}
    add_layouts(result)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
