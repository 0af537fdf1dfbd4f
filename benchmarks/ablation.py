"""What each part of the training recipe is worth, on a cut-down supernet and a third of CIFAR-10.

    python benchmarks/ablation.py --data cifar-10-batches-bin --work runs/ablation

The base recipe has the sandwich rule, KL distillation in place, Muon at 0.05 for convolutions, exit
weight 0.3 and cutout; every variant differs from it in what its name says. 15,000 training images,
6 epochs, 8.9 million MACs at most; accuracies on the 5,000 validation images after recalibration,
mean of the seeds. What wins in 6 epochs need not win in more, so some variants also run for 20,
with one seed. Rows are appended to the results file and a rerun does the missing ones, from the
last epoch on of those that were stopped; `--only` names what to run.
"""

from __future__ import annotations

import argparse
import json
import re
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from nas.devices.host import cpu_name
from search_spaces import ResNetSpace, resnet_cifar
from supernets import Dataset, Evaluation, ResNetSupernet, bf16_pays, load_dataset, load_supernet
from supernets.training import TrainSettings, train

RESULTS = Path(__file__).parent / "results" / "ablation.jsonl"
N_TRAIN, N_RANDOM, SEEDS = 15_000, 6, (0, 1)
BASE = TrainSettings(
    epochs=6, lr=0.1, muon_lr=0.05, warmup_epochs=1.0, cutout=True, ema_decay=0.99, bf16=bf16_pays()
)
TUNE = {"exits_only": True, "epochs": 2}
TOGETHER = {"epochs": 20, "small_epochs": 8, "late_epochs": 5, "alternate": True}
VARIANTS: dict[str, list[dict[str, object]]] = {
    "base": [{}],
    "Muon at 0.02": [{"muon_lr": 0.02}],
    "Muon at 0.1": [{"muon_lr": 0.1}],
    "SGD alone": [{"muon_lr": 0.0, "lr": 0.25}],
    "alpha-divergence": [{"distil": "alpha"}],
    "no cutout": [{"cutout": False}],
    "students learn labels": [{"distil": "labels"}],
    "no sandwich: three random subnets": [{"sandwich": False, "n_random": 3}],
    "two random subnets a step": [{"n_random": 2}],
    "progressive shrinking": [{"progressive": True}],
    "exit weight 0.1": [{"exit_weight": 0.1}],
    "exit weight 1": [{"exit_weight": 1.0}],
    "exits learn labels alone": [{"exit_distil": 0.0}],
    "exits learn the last exit alone": [{"exit_distil": 1.0}],
    "exits afterwards, trunk frozen": [{"exit_weight": 0.0}, TUNE],
    "exits with it and afterwards": [{}, TUNE],
    "24 pixels in the first 2 epochs": [{"small_epochs": 2}],
    "a second random subnet in the last 1.5": [{"late_epochs": 1.5}],
    "mirrors that alternate": [{"alternate": True}],
    "labels smoothed by 0.1": [{"smoothing": 0.1}],
    "these but the smoothing": [{"small_epochs": 2, "late_epochs": 1.5, "alternate": True}],
}
LONG: dict[str, list[dict[str, object]]] = {
    "base, 20 epochs": [{"epochs": 20}],
    "students learn labels, 20 epochs": [{"epochs": 20, "distil": "labels"}],
    "exit weight 0.1, 20 epochs": [{"epochs": 20, "exit_weight": 0.1}],
    "labels and exit weight 0.1, 20 epochs": [
        {"epochs": 20, "distil": "labels", "exit_weight": 0.1}
    ],
    "24 pixels in the first 8 of 20 epochs": [{"epochs": 20, "small_epochs": 8}],
    "a second random subnet in the last 5 of 20": [{"epochs": 20, "late_epochs": 5}],
    "mirrors that alternate, 20 epochs": [{"epochs": 20, "alternate": True}],
    "labels smoothed by 0.1, 20 epochs": [{"epochs": 20, "smoothing": 0.1}],
    "24 pixels, a second subnet, mirrors as above": [TOGETHER],
    "the last two of them, exit weight 0.1, exits afterwards": [
        {**TOGETHER, "small_epochs": 0, "exit_weight": 0.1},
        TUNE,
    ],
}


def cut_down() -> ResNetSpace:
    """The zoo's space with fewer channels: 8.9 million MACs at most."""
    widths = ((6, 8), (12, 16), (24, 32), (48, 64))
    return replace(
        resnet_cifar(), name="resnet-small", widths=widths, expands=(50, 100), head_widths=(32,) * 3
    )


def run(name: str, seed: int, data: Path, work: Path) -> dict[str, object]:
    """Train one variant with one seed in its folder of `work`; one row of results."""
    torch.set_num_threads(1)
    full = load_dataset(data)
    part = type(full.train)(full.train.images[:N_TRAIN], full.train.labels[:N_TRAIN])
    dataset = replace(full, train=part)
    torch.manual_seed(seed)
    supernet = ResNetSupernet(cut_down())
    moved = seconds = 0.0
    for stage, changes in enumerate({**VARIANTS, **LONG}[name]):
        if stage:
            before = _last_logits(supernet, dataset)
        folder = work / f"{re.sub('[^a-z0-9.]+', '-', name.lower())}-{seed}" / str(stage)
        settings = replace(BASE, seed=seed, **changes)  # type: ignore[arg-type]
        for _ in train(supernet, dataset, settings, folder):
            pass
        supernet, took = load(folder)
        seconds += took
        if stage:
            moved = float((_last_logits(supernet, dataset) - before).abs().max())
    scores = accuracies(supernet, Evaluation.of(dataset, "validation", bf16=BASE.bf16))
    return {
        "variant": name,
        "seed": seed,
        **scores,
        "seconds": seconds,  # of the steps; of little meaning beside other work
        "last_exit_moved_by": moved,
        "source": "measured",
        "host": f"{cpu_name()}, 1 thread",
    }


def load(folder: Path) -> tuple[ResNetSupernet, float]:
    """The weights that a run shipped, and the seconds that its steps took."""
    supernet, metadata = load_supernet(folder / "weights.safetensors")
    assert isinstance(supernet, ResNetSupernet)
    return supernet, metadata["seconds"]


@torch.inference_mode()
def _last_logits(supernet: ResNetSupernet, data: Dataset) -> torch.Tensor:
    """Of the last exit of the largest subnet, on some validation images."""
    images = data.normalise(data.validation.images[:500])
    supernet.eval()
    return supernet(images, supernet.space.subnet(supernet.space.largest))[-1]


def accuracies(supernet: ResNetSupernet, data: Evaluation) -> dict[str, float]:
    """Top-1 percent of the last exit of both ends and of random subnets, and of all early exits."""
    space = supernet.space
    random = space.sample(N_RANDOM, np.random.default_rng(100))
    subnets = space.subnets(np.concatenate([space.largest, space.smallest, random]))
    top1 = np.stack(
        [
            100 * (data.logits(supernet, s).argmax(2) == data.labels).float().mean(dim=1).numpy()
            for s in subnets
        ]
    )
    values = {
        "largest": top1[0, -1],
        "smallest": top1[1, -1],
        "random": top1[2:, -1].mean(),
        "early_exits": top1[:, :-1].mean(),
    }
    return {k: round(float(v), 2) for k, v in values.items()}


def show(rows: list[dict[str, object]]) -> None:
    """The table, mean and half the range of the seeds."""
    keys = ("largest", "smallest", "random", "early_exits")
    print("| variant | " + " | ".join(keys) + " | s a run |")
    print("|---|" + "---:|" * (len(keys) + 1))
    for name in (*VARIANTS, *LONG):
        some = [r for r in rows if r["variant"] == name]
        if some:
            cells = [np.array([r[k] for r in some], dtype=float) for k in (*keys, "seconds")]
            text = [f"{c.mean():.2f} ± {np.ptp(c) / 2:.2f}" for c in cells[:-1]]
            print(f"| {name} | " + " | ".join([*text, f"{cells[-1].mean():.0f}"]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 binary folder")
    parser.add_argument("--work", type=Path, default=Path("runs/ablation"), help="runs are kept")
    parser.add_argument("--only", nargs="*", default=[*VARIANTS, *LONG], help="variants, in order")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    path: Path = arguments.results
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(r["variant"], r["seed"]) for r in rows}
    if unknown := set(arguments.only) - {*VARIANTS, *LONG}:
        raise SystemExit(f"no such variant: {', '.join(sorted(unknown))}")
    wanted = [(n, s) for s in SEEDS for n in arguments.only if n in VARIANTS or s == SEEDS[0]]
    todo = [run for run in wanted if run not in done]
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, *asked, arguments.data, arguments.work) for asked in todo]
        for future in as_completed(futures):
            rows.append(future.result())
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)
    show(rows)


if __name__ == "__main__":
    main()
