"""Top-1 of CIFAR-10 networks pruned in blocks: exact, BED and aligned beside unstructured.

    python benchmarks/block_training.py --data DIR --work DIR

Each network is trained dense once (MobileNetV1 for 32 pixels here, the zoo's ResNet as it ships: a
subnet of half the MACs for all cases, the largest for one seed as confirmation); every run starts
from it, with the same epochs, schedule and batches for each seed. A run goes on from its last
epoch, and finished rows in the results are not run again, so that the command can be stopped and
repeated. `--summary` prints the table of what there is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import nn

from mobilenet import mobilenet
from nas.devices.host import cpu_name
from supernets import Dataset, calibrate, extract, load_dataset, load_supernet
from supernets.augment import calibration_images
from supernets.pruning.masks import PruneSettings
from supernets.pruning.spread import SPREADS
from supernets.pruning.training import PruningRun, top1
from supernets.static import channels_last

RESULTS = Path(__file__).parent / "results" / "block_training.jsonl"
METHODS = ("unstructured", "exact", "bed", "aligned")
ALL = ".".join(["100"] * 8)  # percent of the blocks' inner channels
SUBNETS = {  # of the zoo, 44 and 100 million MACs
    "resnet": f"d2.2.2.2-w16.40.72.144-e{ALL}",
    "resnet-largest": f"d2.2.2.2-w16.56.128.256-e{ALL}",
}
NETWORKS = ("mobilenet", *SUBNETS)
EPOCHS, DENSE_EPOCHS, DENSE_LR = 5, 12, 0.1
CASES = (*((8, 0.9, seed) for seed in range(3)), (4, 0.9, 0), (8, 0.8, 0))  # g, sparsity, seed
LARGEST_CASE = (8, 0.9, 0)  # the only one of the largest network


class Run(NamedTuple):
    network: str
    method: str
    g: int
    sparsity: float
    seed: int
    spread: str = "even"  # of the sparsity over the layers

    def settings(self) -> PruneSettings:
        return PruneSettings(
            **{k: v for k, v in self._asdict().items() if k != "network"},
            epochs=EPOCHS,
            bf16=self.network in SUBNETS,  # faster for dense convolutions alone
        )

    @property
    def folder(self) -> str:
        return "-".join(map(str, self if self.spread != "even" else self[:-1]))


def all_runs(spread: str) -> list[Run]:
    """Those of the main question first: three seeds at g = 8 and 90 %."""
    return [
        Run(network, method, *case, spread)
        for case in CASES
        for network in NETWORKS
        if network != "resnet-largest" or case == LARGEST_CASE
        for method in METHODS
    ]


def dense_network(name: str, data: Dataset, work: Path) -> nn.Module:
    """The trained network that every run starts from."""
    if name in SUBNETS:
        path = Path(str(files("supernets"))) / "zoo/resnet-cifar10/weights.safetensors"
        supernet, _ = load_supernet(path)
        space = supernet.space
        subnet = space.parse(SUBNETS[name])
        statistics = calibrate(supernet, subnet, calibration_images(data))
        return extract(supernet, subnet, heads=[space.n_exits], statistics=statistics)
    torch.manual_seed(0)
    net = channels_last(mobilenet(data.n_classes, small=True))
    settings = PruneSettings(sparsity=0.0, epochs=DENSE_EPOCHS, lr=DENSE_LR, bf16=False)
    run = PruningRun(net, data, settings, work / "dense-mobilenet")
    report(f"dense {name}", run)
    return net


def report(name: str, run: PruningRun) -> None:
    epoch = -1
    for progress in run.run():
        if progress.epoch != epoch:
            epoch = progress.epoch
            print(f"{name}: epoch {epoch + 1}, {progress.images_per_s:.0f} images/s", flush=True)


def row_of(wanted: Run, data: Dataset, work: Path) -> dict[str, Any]:
    """The run, trained to its end, and its accuracies in percent."""
    net = channels_last(dense_network(wanted.network, data, work))
    dense = top1(net, data.test, data)
    run = PruningRun(net, data, wanted.settings(), work / wanted.folder)
    report(" ".join(map(str, wanted)), run)
    assert run.pruner is not None
    convolutions = run.pruner.convolutions.values()
    zeros = sum(int((conv.weight == 0).sum()) for conv in convolutions)
    cells = sum(conv.weight.numel() for conv in convolutions)
    return {
        **wanted._asdict(),
        "epochs": EPOCHS,
        "dense_top1_pct": round(dense, 2),
        "validation_top1_pct": round(top1(net, data.validation, data), 2),
        "test_top1_pct": round(top1(net, data.test, data), 2),
        "zeros": round(zeros / cells, 5),
        "seconds": round(run.seconds),
        "mask_share": round(run.mask_share, 5),
        "threads": torch.get_num_threads(),
        "cpu": cpu_name(),
    }


def read_rows() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return [{"spread": "even", **row} for row in rows]


def summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Means, and exact against the others in pairs of equal seeds with a 90 % t interval."""
    cases = dict.fromkeys((g, s) for g, s, _ in CASES)
    for network, spread in product(NETWORKS, SPREADS):
        for g, sparsity in cases:
            top = {
                m: {
                    r["seed"]: r["test_top1_pct"]
                    for r in rows
                    if (r["network"], r["method"], r["g"], r["sparsity"], r["spread"])
                    == (network, m, g, sparsity, spread)
                }
                for m in METHODS
            }
            means = "  ".join(f"{m} {np.mean(list(t.values())):.2f}" for m, t in top.items() if t)
            if means or (network != "resnet-largest" and spread == "even"):
                yield f"{network} g={g} {sparsity:.0%} {spread}: {means or 'no run yet'}"
            for other in ("aligned", "bed"):
                pairs = sorted(set(top["exact"]) & set(top[other]))
                gain = np.array([top["exact"][s] - top[other][s] for s in pairs])
                if len(gain) > 1:
                    half = stats.t.ppf(0.95, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
                    low, high = gain.mean() - half, gain.mean() + half
                    yield f"  exact - {other}: {gain.mean():+.2f} [{low:+.2f}, {high:+.2f}] point"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10 in its binary version")
    parser.add_argument("--work", type=Path, help="folder for checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--spread", default="even", choices=SPREADS)
    parser.add_argument("--summary", action="store_true", help="print the table of what there is")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if not asked.summary:
        data = load_dataset(asked.data)
        for run in all_runs(asked.spread):
            known = [tuple(row[k] for k in Run._fields) for row in read_rows()]
            chosen = run.network in asked.networks and run.method in asked.methods
            if chosen and run not in known:
                row = row_of(run, data, asked.work)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    print("\n".join(summary(read_rows())))


if __name__ == "__main__":
    main()
