"""How still latency holds while the clock moves: K ratios of a network against the whole of it.

    python benchmarks/constant_latency.py                 # simulated, the analytic model of boards
    python benchmarks/constant_latency.py --real grid     # measured on this CPU, two minutes
    python benchmarks/constant_latency.py --real run

The network is the zoo's ResNet: for boards thinner everywhere by one factor, on this CPU with the
channels that masks of an untrained one leave; weights do not change times. `--real` has no clock to
set: a second process stops this one for a share of every PERIOD_MS and lets it run for the rest
(SIGSTOP, SIGCONT), a duty cycle as a stand-in for the clock. Ratios are chosen from a few runs of
all of them at every setting; what is told is measured again. Rows are appended to the results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from duty_cycle import DutyCycle
from nas.devices import get_device
from nas.devices.constant_latency import (
    FrequencyMap,
    choose_ratios,
    rule_of_thumb,
    simulated_ms,
    speed_levels,
    variation,
)
from nas.devices.host import cpu_name
from nas.onnx.graph import segment_model
from search_spaces import RatioSpace, resnet_cifar
from supernets import ResNetSupernet, extract
from supernets.pruning.masked import MaskedSupernet

RESULTS = Path(__file__).parent / "results" / "constant_latency.jsonl"
CASES = [  # device, images at once, levels, numbers of ratios
    ("xavier-nx", 16, "1/4..top", (5, 8)),
    ("xavier-nx", 16, "all", (5, 8)),
    ("nano", 8, "1/4..top", (5, 8)),
    ("tx2", 16, "1/4..top", (5, 8)),
    ("raspberry-pi-4", 1, "1/4..top", (5, 8)),
    ("xavier-nx", 1, "1/4..top", (5, 8)),  # kernel starts rule: hopeless, with its bound
]
DUTIES = (1.0, 0.75, 0.5, 0.35, 0.25)
PERIOD_MS = 4.0
BATCH, RUNS, SPEED_RUNS = 3, 200, 8
SHARES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2, 0.17, 0.14)


def simulated() -> Iterator[dict[str, Any]]:
    """The table of the analytic model."""
    space = RatioSpace.evenly_pruned(resnet_cifar())
    shares = np.array(space.ratios[::-1]) / 1000
    for name, frames, levels, ks in CASES:
        device = get_device(name, batch=frames)
        ms = simulated_ms(device, space)[:, speed_levels(device.levels, levels)]
        every = FrequencyMap(ms)
        speed = float(ms[0].max() / ms[0].min())
        row = {
            "device": name, "frames": frames, "levels": levels, "n_levels": ms.shape[1],
            "dense_cv": round(variation(ms[0]), 4), "latency_range": round(speed, 2),
            "smallest_needed": float(shares[every.ratio_of].min()),
            "bound_cv": round(variation(every.chosen_ms), 4),
        }  # fmt: skip
        for k in ks:
            rows = choose_ratios(ms, k)
            found = FrequencyMap(ms[rows])
            row[f"k{k}"] = {
                "ratios": shares[rows].tolist(),
                "cv": round(variation(found.chosen_ms), 4),
                "variance_less": round(found.variance_less, 1),
                "rule_of_thumb": round(rule_of_thumb(speed, k), 4),
            }
        yield {**row, "provenance": "simulated"}


def thin_networks() -> tuple[list[float], list[Callable[[], object]]]:
    """The ratios and one run of each, BATCH images in ONNX Runtime on one thread."""
    masked = MaskedSupernet(ResNetSupernet(resnet_cifar()), SHARES)
    net = masked.compact(masked.counts()).eval()
    space = net.space
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    images = torch.zeros(BATCH, 3, 32, 32)
    runs: list[Callable[[], object]] = []
    for subnet in reversed(space.subnets(space.enumerate())):
        segment = extract(net, subnet, heads=[space.n_exits]).fold().segments[0]
        model, _ = segment_model(segment, images[:1], last=True, half=False)  # type: ignore[arg-type]
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        feed = {session.get_inputs()[0].name: images.numpy()}
        runs.append(lambda session=session, feed=feed: session.run(None, feed))
    return [r / 1000 for r in space.ratios[::-1]], runs


def median_ms(run: Callable[[], object], n: int) -> float:
    times = []
    for _ in range(n + 3):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[3:]))


def measured_grid() -> Iterator[dict[str, Any]]:
    """Times of every ratio under every duty cycle, from few runs: what ratios are chosen by."""
    shares, runs = thin_networks()
    grid = np.empty((len(runs), len(DUTIES)))
    for i, duty in enumerate(DUTIES):
        with DutyCycle(duty, PERIOD_MS):
            grid[:, i] = [median_ms(run, SPEED_RUNS) for run in runs]
    yield _host() | {"runs": SPEED_RUNS, "ratios": shares, "grid_ms": grid.round(3).tolist()}


def measured() -> Iterator[dict[str, Any]]:
    """The five ratios that the last grid gives, and the whole network, measured anew."""
    shares, runs = thin_networks()
    wanted = (_host() | {"runs": SPEED_RUNS, "ratios": shares}).items()
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    grids = [row["grid_ms"] for row in known if "grid_ms" in row and row.items() >= wanted]
    if not grids:
        raise SystemExit("no grid of this CPU with these ratios: run `--real grid` first")
    grid = np.array(grids[-1])
    rows = choose_ratios(grid, 5)
    plan = FrequencyMap(grid[rows])
    dense, kept = np.empty(len(DUTIES)), np.empty(len(DUTIES))
    for i, (duty, place) in enumerate(zip(DUTIES, plan.ratio_of, strict=True)):
        with DutyCycle(duty, PERIOD_MS):
            dense[i] = median_ms(runs[0], RUNS)
            kept[i] = median_ms(runs[rows[place]], RUNS)
    yield _host() | {
        "runs": RUNS,
        "dense_ms": dense.round(3).tolist(),
        "dense_cv": round(variation(dense), 4),
        "k5": {
            "ratios": [shares[row] for row in rows],
            "ratio_of_each": [shares[rows[place]] for place in plan.ratio_of],
            "ms": kept.round(3).tolist(),
            "cv": round(variation(kept), 4),
            "variance_less": round(float(dense.var() / kept.var()), 1),
        },
    }


def _host() -> dict[str, Any]:
    return {
        "device": "host",
        "frames": BATCH,
        "levels": "duty cycle of " + ", ".join(map(str, DUTIES)),
        "period_ms": PERIOD_MS,
        "threads": 1,
        "cpu": cpu_name(),
        "provenance": "measured",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", choices=["grid", "run"], help="measure on this CPU instead")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {None: simulated, "grid": measured_grid, "run": measured}
    for row in kinds[asked.real]():
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
