"""Groups trained one after the other: accuracy of every configuration on CIFAR-10, and its time.

    python benchmarks/incremental.py --data DIR --work DIR
    python benchmarks/incremental.py --time
    python benchmarks/incremental.py --points
    python benchmarks/incremental.py --data DIR --work DIR --seeds 0 --zoo alexnet-g4-cifar10
    python benchmarks/incremental.py --data DIR --work DIR --seeds 0 --thin 4 --exit-weight 0

An AlexNet of four groups, whose first alone has 2.6 MMACs, is trained group by group; beside it the
same grouped net trained jointly and a dense net of the same MACs, each with as many passes over the
images as a group gets. Test images are used for the last column alone. A run goes on from its last
epoch, and finished rows in the results are not run again. `--thin N` takes an Nth of the channels,
`--exit-weight` says how much a group that is right alone counts, `--epochs` how many passes a group
gets. `--time` measures one image on one thread, `--points` simulates two boards at all clocks of
all processors; `--summary` prints what there is. `--zoo` writes the groups of a finished seed as a
supernet's folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.devices import get_device, load_profile
from nas.devices.host import cpu_name
from nas.operating import PROCESSORS, dynamic_range, operating_points
from search_spaces import GroupSpace
from supernets import Dataset, Supernet, build_supernet, load_dataset, load_supernet, save_supernet
from supernets.pruning.groups import Increment, train_groups
from supernets.training import Progress, TrainSettings, train

RESULTS = Path(__file__).parent / "results" / "incremental.jsonl"
TIMES = Path(__file__).parent / "results" / "incremental_time.json"
POINTS = Path(__file__).parent / "results" / "incremental_points.json"
BATCHES = (1, 16)  # images at once
N_GROUPS, EPOCHS, SEEDS = 4, 10, (0, 1, 2)
RUNS = ("incremental", "joint", "dense")
BACKENDS = {"pytorch": 2.5, "onnxruntime": 3.0}  # the least time of four groups over that of one
N_COMPARED = 500  # images


@dataclass(frozen=True)
class Setting:
    """What one row of the table of sizes has otherwise."""

    thin: int = 1  # an nth of the channels
    exit_weight: float = 1.0  # a group alone counts as much as all so far
    epochs: int = EPOCHS  # of every group, of the joint and of the dense net

    def folder(self, work: Path, run: str, seed: int) -> Path:
        name = f"{run}-{seed}"
        if self != Setting():
            name += f"-{self.thin}-{self.exit_weight:g}"
        return work / (name if self.epochs == EPOCHS else f"{name}-{self.epochs}")


def space_of(run: str, thin: int = 1) -> GroupSpace:
    """The dense net has half of the grouped one's channels, which is the same number of MACs."""
    grouped = GroupSpace.of("alexnet", N_GROUPS)
    if thin > 1:
        widths = tuple(width // thin for width in grouped.widths)
        stem = max(N_GROUPS, grouped.stem // thin)
        grouped = replace(grouped, name=f"alexnet-thin{thin}", stem=stem, widths=widths)
    if run != "dense":
        return grouped
    halves = tuple(width // 2 for width in grouped.widths)
    return replace(grouped, name="alexnet-dense", n_groups=1, stem=grouped.stem // 2, widths=halves)


def trained(run: str, seed: int, setting: Setting, data: Dataset, out: Path) -> Supernet:
    """The network of a run, trained to its end in `out`."""
    space = space_of(run, setting.thin)
    settings = TrainSettings(
        epochs=setting.epochs,
        seed=seed,
        bf16=False,
        exit_weight=setting.exit_weight,
        exit_distil=0.0,
    )
    if run == "incremental":
        tell(run, train_groups(space, data, settings, out))
    else:
        torch.manual_seed(seed)
        net = build_supernet(space)
        alone = replace(settings, sandwich=False)  # one network takes each step
        tell(run, train(Increment(net), data, alone, out))  # type: ignore[arg-type]
    return load_supernet(out / "weights.safetensors")[0]


def tell(run: str, steps: Iterator[Progress]) -> None:
    epoch = -1
    for step in steps:
        if step.epoch != epoch:
            epoch = step.epoch
            print(f"{run}: epoch {epoch + 1}, {step.images_per_s:.0f} images/s", flush=True)


def rows_of(
    run: str, seed: int, setting: Setting, data: Dataset, folder: Path
) -> Iterator[dict[str, Any]]:
    """One row for every configuration that is an answer of this run."""
    net = trained(run, seed, setting, data, folder)
    genes = net.space.enumerate() if run == "incremental" else net.space.largest
    heads = np.ones((1, 1), dtype=bool)
    operators = net.space.operators(genes, heads)
    for i, subnet in enumerate(net.space.subnets(genes)):
        before = folder / f"group{i + 1}" / "weights.safetensors"
        row = {
            "run": run,
            "seed": seed,
            **asdict(setting),
            "groups": int(genes[i, 0]),
            "mmacs": round(float(operators.macs[i].sum()) / 1e6, 3),
            "params": int(operators.params[i].sum()),
            "validation_top1_pct": top1(net, subnet, data, "validation"),
            "test_top1_pct": top1(net, subnet, data, "test"),
        }
        if run == "incremental":
            row["equal_bits"] = same_bits(before, net, subnet, data)
        yield {**row, "cpu": cpu_name(), "threads": torch.get_num_threads(), "source": "measured"}


@torch.inference_mode()
def top1(net: Supernet, subnet: Any, data: Dataset, split: str) -> float:
    """Percent of a split that the configuration gets right, with the statistics it ships with."""
    part = getattr(data, split)
    right = 0
    for index in torch.arange(len(part)).split(500):
        answers = net(data.normalise(part.images[index]), subnet)[-1].argmax(dim=1)
        right += int((answers == part.labels[index]).sum())
    return round(100 * right / len(part), 2)


@torch.inference_mode()
def same_bits(before: Path, net: Supernet, subnet: Any, data: Dataset) -> bool:
    """Whether this configuration answers as it did before the groups behind it were trained."""
    earlier, _ = load_supernet(before)
    images = data.normalise(data.validation.images[:N_COMPARED])
    whole = earlier.space.subnet(earlier.space.largest)
    return torch.equal(earlier(images, whole)[-1], net(images, subnet)[-1])


def times() -> dict[str, Any]:
    """Milliseconds of every configuration, one image on one thread: medians of rounds."""
    space = space_of("incremental")
    rows = []
    for name, least in BACKENDS.items():
        host = get_device("host", backend=name, threads=1)
        subnets = space.subnets(space.enumerate())
        rounds = [[host.measure(space, s, [0])["latency_ms"] for s in subnets] for _ in range(5)]
        ms = np.median(rounds, axis=0).round(4).tolist()
        rows.append({"backend": name, "latency_ms": ms, "ratio": round(ms[-1] / ms[0], 2),
                     "asked": least, "source": "measured"})  # fmt: skip
    command = "python benchmarks/incremental.py --time"
    return {"command": command, "cpu": cpu_name(), "threads": 1, "space": space.name, "rows": rows}


def points() -> dict[str, Any]:
    """Both ranges of two boards; of the errors only their order counts: they fall by group."""
    space, rows = space_of("incremental"), []
    errors = {f"g{i}": float(N_GROUPS - i) for i in range(1, N_GROUPS + 1)}
    for profile in map(load_profile, PROCESSORS):
        for batch in BATCHES:
            found = operating_points(profile, space, errors, batch=batch)
            busy = [p for p in found if p.cores in (0, profile.mode(None).cores)]
            all_cores = dynamic_range(profile, busy)["all_points"]
            rows.append({"batch": batch, **dynamic_range(profile, found), "all_cores": all_cores})
    command = "python benchmarks/incremental.py --points"
    asked = {"all_points": (41.6, 10.6), "non_dominated": (6, 4)}  # of time, of energy
    return {"command": command, "space": space.name, "asked": asked, "rows": rows}


def ship(seed: int, data: Dataset, work: Path, out: Path) -> None:
    """The trained groups as they are, with where they come from, for `nas supernet evaluate`."""
    net, metadata = load_supernet(work / f"incremental-{seed}" / "weights.safetensors")
    (row, *_) = [r for r in rows_with(Setting()) if (r["run"], r["seed"]) == ("incremental", seed)]
    about = {key: metadata[key] for key in ("dataset", "epochs_done", "seconds", "settings")}
    about["command"] = "python benchmarks/incremental.py --data cifar-10-batches-bin --work work"
    about["host"] = f"{row['cpu']}, {row['threads']} CPU threads"
    save_supernet(net, out / "weights.safetensors", half=True, data=data.describe(), **about)


def read_rows() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        return []
    usual = asdict(Setting())  # of rows that do not say it
    return [usual | json.loads(line) for line in RESULTS.read_text().splitlines()]


def rows_with(setting: Setting) -> list[dict[str, Any]]:
    return [row for row in read_rows() if row.items() >= asdict(setting).items()]


def summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Means over the seeds that there are, and what was asked of every seed."""
    for run in RUNS:
        for groups in dict.fromkeys(r["groups"] for r in rows if r["run"] == run):
            found = [r for r in rows if (r["run"], r["groups"]) == (run, groups)]
            top = [r["test_top1_pct"] for r in found]
            spread = f" +- {np.std(top, ddof=1):.2f}" if len(top) > 1 else ""
            seeds = len({r["seed"] for r in found})
            yield (
                f"{run}, {groups} groups, {found[0]['mmacs']:.2f} MMACs: "
                f"{np.mean(top):.2f}{spread} % of the test images, {seeds} of {len(SEEDS)} seeds"
            )
    for seed in dict.fromkeys(r["seed"] for r in rows):
        yield judged(seed, [r for r in rows if r["seed"] == seed])


def judged(seed: int, rows: list[dict[str, Any]]) -> str:
    top = {run: [r["test_top1_pct"] for r in rows if r["run"] == run] for run in RUNS}
    grown = top["incremental"]
    line = (
        f"seed {seed}: rises with every group: {bool((np.diff(grown) > 0).all())}, "
        f"by {grown[-1] - grown[0]:.2f} points in all (8 asked), "
        f"equal bits: {all(r.get('equal_bits', True) for r in rows)}"
    )
    for run in ("joint", "dense"):
        if top[run]:
            line += f", {top[run][0] - grown[-1]:+.2f} points trained {run}"
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10 in its binary version")
    parser.add_argument("--work", type=Path, help="folder for checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--thin", type=int, default=1, help="take an Nth of the channels")
    parser.add_argument("--exit-weight", type=float, default=1.0, help="of a group alone")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of every group")
    parser.add_argument("--time", action="store_true", help="measure the time of configurations")
    parser.add_argument("--points", action="store_true", help="simulate the operating points")
    parser.add_argument("--zoo", type=Path, help="folder for the groups of the first of the seeds")
    parser.add_argument("--summary", action="store_true", help="print what there is")
    asked = parser.parse_args()
    setting = Setting(asked.thin, asked.exit_weight, asked.epochs)
    if asked.zoo and setting != Setting():
        parser.error("--zoo ships the usual setting: leave out --thin, --exit-weight, --epochs")
    torch.set_num_threads(asked.threads)
    if asked.time:
        TIMES.write_text(json.dumps(times(), indent=1) + "\n")
    elif asked.points:
        POINTS.write_text(json.dumps(points(), indent=1) + "\n")
    elif asked.zoo:
        ship(asked.seeds[0], load_dataset(asked.data), asked.work, asked.zoo)
    elif not asked.summary:
        data = load_dataset(asked.data)
        for seed in asked.seeds:
            for run in RUNS:
                if any((r["run"], r["seed"]) == (run, seed) for r in rows_with(setting)):
                    continue
                folder = setting.folder(asked.work, run, seed)
                lines = [json.dumps(r) + "\n" for r in rows_of(run, seed, setting, data, folder)]
                with RESULTS.open("a") as file:
                    file.write("".join(lines))
                print("".join(lines), flush=True)
    print("\n".join(summary(rows_with(setting))))
    for path in (TIMES, POINTS):
        if path.exists():
            print(path.read_text())


if __name__ == "__main__":
    main()
