"""One set of weights for all pruning ratios, beside a model pruned for each, on CIFAR-10.

    python benchmarks/all_in_one.py --data DIR --work DIR [--width zoo --seeds 0]

One dense network is trained for 12 epochs; every run starts from it and has `--epochs` of its own:

- `joint`: All-in-One, all ratios at once;
- `alone`: masks and weights for one ratio, five runs for what `joint` does in one;
- `elastic`: the weight-sharing supernet of widths, depths and expand ratios, of which the best
  subnet of at most a ratio's MACs is chosen on the validation images;
- `fixed masks`: as `joint`, without a gradient for the masks;
- `random ratios`: as `joint`, with three ratios in a step, the ends and one by chance;
- `thresholded`: no training, the dense network's channels by their scales, with batch norm
  recalibrated on training images, or shared with the dense network.

The test images serve no choice. A run goes on from its last epoch and rows are appended, so the
command can be stopped and repeated. `--summary` prints the table of what there is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.devices.host import cpu_name
from search_spaces import Subnet, resnet_cifar, resnet_digits
from supernets import (
    Dataset,
    Evaluation,
    ResNetSupernet,
    Statistics,
    bf16_pays,
    exit_logits,
    load_dataset,
    load_supernet,
)
from supernets.data import Split
from supernets.pruning import RatioSettings, train_all_in_one
from supernets.pruning.all_in_one import narrowed
from supernets.pruning.masked import MaskedSupernet
from supernets.supernet import Supernet
from supernets.training import TrainSettings, train

RESULTS = Path(__file__).parent / "results" / "all_in_one.jsonl"
SHARES = (1.0, 0.7, 0.5, 0.35, 0.2)
EPOCHS = 12
SMALL = ((4, 6, 8), (12, 16, 24), (20, 32, 48), (40, 64, 96))  # channels of the stages
SPACES = {
    "small": replace(resnet_cifar(), widths=SMALL),  # 16.5 million MACs
    "zoo": resnet_cifar(),  # 100 million
    "digits": resnet_digits(),  # scikit-learn's images, for a trial: without --data
}
BESIDE = {"thresholded": ("thresholded, shared norm",)}  # what a run gives besides
KINDS = ("thresholded", "joint", "alone", "elastic", "fixed masks", "random ratios")


def settings_of(seed: int, epochs: int) -> TrainSettings:
    """Early exits learn nothing here: one number per ratio is compared."""
    lr = {"lr": 0.05, "muon_lr": 0.03}  # as the zoo's second training, from trained weights
    given = {"epochs": epochs, "batch_size": 128, "seed": seed, "exit_weight": 0.0}
    return TrainSettings(**given, **lr, bf16=bf16_pays())  # type: ignore[arg-type]


class Bench:
    """The dense network, the images, and the rows that exist."""

    def __init__(self, data: Dataset, work: Path, width: str, epochs: int) -> None:
        self.data, self.work, self.width, self.epochs = data, work / width, width, epochs
        self.space = SPACES[width]
        self.test = Evaluation.of(data, "test")

    def dense(self) -> ResNetSupernet:
        """The largest network, trained alone; the elastic supernet starts from it too."""
        torch.manual_seed(0)
        net = ResNetSupernet(narrowed(self.space))
        settings = replace(settings_of(0, EPOCHS), lr=0.1, muon_lr=0.05)
        report("dense", train(net, self.data, settings, self.work / "dense"))
        whole = ResNetSupernet(self.space)
        weights, _ = load_supernet(self.work / "dense" / "weights.safetensors")
        whole.load_state_dict(weights.state_dict())
        return whole

    def rows(self, kind: str, seed: int) -> Iterator[dict[str, Any]]:
        """What one kind of run gives for every ratio."""
        made = {
            "thresholded": self._thresholded,
            "joint": lambda seed: self._pruned("joint", seed, SHARES),
            "fixed masks": lambda seed: self._pruned("fixed masks", seed, SHARES),
            "random ratios": lambda seed: self._pruned("random ratios", seed, SHARES),
            "alone": self._alone,
            "elastic": self._elastic,
        }[kind](seed)
        for row in made:
            yield {
                "width": self.width,
                "seed": seed,
                "epochs": self.epochs,
                "n_train": len(self.data.train),
                **row,
                "provenance": "measured",
                "threads": torch.get_num_threads(),
                "cpu": cpu_name(),
            }

    def _pruned(self, kind: str, seed: int, shares: tuple[float, ...]) -> Iterator[dict[str, Any]]:
        every, straight = kind != "random ratios", kind != "fixed masks"
        ratios = RatioSettings(shares, every=every, straight_through=straight)
        name = f"{kind} {seed}" + (f" {shares[0]:g}" if len(shares) == 1 else "")
        out = self.work / name.replace(" ", "-")
        settings = settings_of(seed, self.epochs)
        report(name, train_all_in_one(self.dense(), self.data, settings, ratios, out))
        net, metadata = load_supernet(out / "weights.safetensors")
        for share, masks, subnet in zip(
            shares, metadata["masks"], reversed(net.with_own_norms()), strict=True
        ):
            yield {"kind": kind, "share": share, **masks, "top1_pct": self._top1(net, subnet)}

    def _alone(self, seed: int) -> Iterator[dict[str, Any]]:
        for share in reversed(SHARES):  # the smallest say most
            yield from self._pruned("alone", seed, (share,))

    def _thresholded(self, seed: int) -> Iterator[dict[str, Any]]:
        """Nothing is random here, and the seed changes nothing."""
        masked = MaskedSupernet(self.dense(), SHARES)
        net = masked.compact(masked.counts()).eval()
        for share, subnet in zip(SHARES, reversed(net.with_own_norms()), strict=True):
            shared = {k: n.running(n.weight.numel()) for k, n in net.norms()}
            recalibrated, as_dense = self._top1(net, subnet), self._top1(net, subnet, shared)
            yield {"kind": "thresholded", "share": share, "top1_pct": recalibrated}
            yield {"kind": "thresholded, shared norm", "share": share, "top1_pct": as_dense}

    def _elastic(self, seed: int) -> Iterator[dict[str, Any]]:
        out = self.work / f"elastic-{seed}"
        settings = settings_of(seed, self.epochs)
        report(f"elastic {seed}", train(self.dense(), self.data, settings, out))
        net, _ = load_supernet(out / "weights.safetensors")
        validation = Evaluation.of(self.data, "validation")
        for share in SHARES:
            candidates = self._near(share)
            top = [self._top1(net, s, images=validation) for s in candidates]
            best = candidates[int(np.argmax(top))]
            yield {"kind": "elastic", "share": share, "subnet": str(best),
                   "top1_pct": self._top1(net, best)}  # fmt: skip

    def _near(self, share: float, n: int = 8) -> list[Subnet]:
        """The subnets that come nearest below a share of the largest one's MACs."""
        sampled = self.space.sample_spread(20000, np.random.default_rng(0))
        last = np.arange(self.space.n_exits + 1) == self.space.n_exits
        genes = np.unique(sampled, axis=0)
        macs = (
            self.space.operators(genes, last[None]).macs.sum(axis=1)
            / self.space.operators(self.space.largest, last[None]).macs.sum()
        )
        order = np.argsort(np.where(macs <= share, share - macs, np.inf))[: n if share < 1 else 1]
        return self.space.subnets(genes[order])

    def _top1(
        self,
        net: Supernet,
        subnet: Subnet,
        statistics: Statistics | None = None,
        images: Evaluation | None = None,
    ) -> float:
        """Percent right at the last exit; batch norm recalibrated on training images for None."""
        images = images or self.test
        if statistics is None:
            logits = images.logits(net, subnet)
        else:
            logits = exit_logits(net, subnet, images.images, statistics)
        return round(100 * float((logits[-1].argmax(1) == images.labels).float().mean()), 2)


def first(data: Dataset, n: int) -> Dataset:
    """The first `n` images of every split."""
    splits = (data.train, data.validation, data.test)
    train, validation, test = (Split(s.images[:n], s.labels[:n]) for s in splits)
    return replace(data, train=train, validation=validation, test=test)


def report(name: str, steps: Iterator[Any]) -> None:
    epoch = -1
    for progress in steps:
        if progress.epoch != epoch:
            epoch = progress.epoch
            print(f"{name}: epoch {epoch + 1}, {progress.images_per_s:.0f} images/s", flush=True)


def read_rows(results: Path) -> list[dict[str, Any]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def setting(row: dict[str, Any]) -> tuple[Any, ...]:
    """What rows have in common that are compared."""
    return row["width"], row["epochs"], row["n_train"]


def summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Mean top-1 in percent and its spread over seeds, and `joint` less the others."""
    for same in dict.fromkeys(map(setting, rows)):
        found: dict[tuple[str, float], dict[int, float]] = {}
        for row in rows:
            if setting(row) == same:
                key = row["kind"], row["share"]
                found.setdefault(key, {})[row["seed"]] = row["top1_pct"]
        width, epochs, n_train = same
        yield f"{width}, {epochs} epochs of {n_train} images: top-1 on the test images, percent,"
        yield "mean (spread, seeds)"
        for kind in dict.fromkeys(kind for kind, _ in found):
            cells = [_cell(list(found.get((kind, s), {}).values())) for s in SHARES]
            yield f"  {kind:26} " + "  ".join(cells)
        for kind in dict.fromkeys(kind for kind, _ in found if kind != "joint"):
            gaps = [_gap(found.get(("joint", s), {}), found.get((kind, s), {})) for s in SHARES]
            yield f"  joint - {kind:18} " + "  ".join(gaps)


def _cell(top1: list[float]) -> str:
    if not top1:
        return f"{'missing':>14}"
    spread = f"({max(top1) - min(top1):.2f}, {len(top1)})"
    return f"{np.mean(top1):6.2f} {spread:>7}"


def _gap(joint: dict[int, float], other: dict[int, float]) -> str:
    seeds = sorted(set(joint) & set(other))
    if not seeds:
        return f"{'missing':>14}"
    return f"{np.mean([joint[s] - other[s] for s in seeds]):+14.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10; digits without it")
    parser.add_argument("--work", type=Path, help="folder for checkpoints")
    parser.add_argument("--width", default="small", choices=list(SPACES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--images", type=int, help="of every split, for a trial; all without it")
    # rows of a trial, which --images and --width digits are, stay in WORK
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--summary", action="store_true", help="print the table of what there is")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if not (asked.summary or asked.work):
        parser.error("give --work, or --summary")
    trial = asked.images or asked.width == "digits"
    results = asked.work / "trial.jsonl" if trial and asked.work else RESULTS
    if not asked.summary:
        data = load_dataset(asked.data)
        if asked.images:
            data = first(data, asked.images)
        bench = Bench(data, asked.work, asked.width, asked.epochs)
        for seed in asked.seeds:
            for kind in asked.kinds:
                add_rows(bench, kind, seed, results)
    print("\n".join(summary(read_rows(results))))


def add_rows(bench: Bench, kind: str, seed: int, results: Path) -> None:
    """Append what is missing of one kind and seed."""
    same = bench.width, bench.epochs, len(bench.data.train)
    of_run = [r for r in read_rows(results) if setting(r) == same and r["seed"] == seed]
    known = {(r["kind"], r["share"]) for r in of_run}
    if known >= {(k, share) for k in (kind, *BESIDE.get(kind, ())) for share in SHARES}:
        return
    for row in bench.rows(kind, seed):
        if (row["kind"], row["share"]) not in known:
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
