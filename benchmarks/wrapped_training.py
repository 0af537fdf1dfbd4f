"""One network of a user, trained alone on CIFAR-10, then wrapped and trained as a supernet.

    python benchmarks/wrapped_training.py --data cifar-10-batches-bin --work DIR --threads 1

Asked: the largest subnet within 0.3 points of the network, half of its MACs within 1.0, a quarter
within 2.5; beside it plain structured pruning (Torch-Pruning) to the same MACs, tuned for as many
passes over the images. Two more rows of the supernet: trained for half as long again, and from the
network anew with channels ordered by images, more passes and two random subnets in every step.
Subnets are chosen on validation images; test images are for the last column alone. Every training
goes on from its last epoch, finished rows are not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.devices.host import cpu_name
from predictors import AccuracyPredictor, AccuracyTable
from search_spaces import PolicyGrid, write_text
from supernets import Dataset, Evaluation, Supernet, load_dataset, load_supernet
from supernets.traced import TracedSupernet, Wrapped
from supernets.training import TrainSettings, train

RESULTS = Path(__file__).parent / "results" / "wrapped_training.json"
EPOCHS = 10  # alone, and again as a supernet or after pruning
LONG = 16
N_ORDER = 256  # images that say how important a channel is
WIDTHS = (16, 32, 64, 128)
SHARES = {"half": 0.5, "quarter": 0.25}  # of the MACs
N_DRAWN = 20_000  # subnets that the predictor ranks
N_EVALUATED, N_IMAGES = 60, 2000  # subnets that it learns from, and validation images for them
N_TRIED = 8  # subnets of every share that are evaluated on all validation images


class Block(nn.Module):
    """He et al., 2016 (arXiv:1512.03385)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.down = nn.Sequential()
        if stride > 1 or c_in != c_out:
            conv = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.down = nn.Sequential(conv, nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.down(x))


class ResNet18(nn.Module):
    """Two basic blocks in each of four stages, a quarter as wide as the original."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        ins = (WIDTHS[0], *WIDTHS)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(Block(a, b, 2 if k else 1), Block(b, b, 1))
                for k, (a, b) in enumerate(zip(ins, WIDTHS, strict=False))
            )
        )
        self.fc = nn.Linear(WIDTHS[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stages(self.stem(x)).mean((2, 3)))


def tuned(net: nn.Module, data: Dataset, out: Path, seed: int) -> nn.Module:
    """`net` itself after training: a supernet of one subnet, by the recipe of all."""
    wrapped = Wrapped(net, data.channels, data.resolution, name="alone")
    space = wrapped.space([])
    one = replace(
        space,
        widths=tuple((max(c),) for c in space.widths),
        depths=tuple((max(c),) for c in space.depths),
    )
    supernet = TracedSupernet(one)
    supernet.load_state_dict(wrapped.supernet([]).state_dict())
    settings = TrainSettings(epochs=EPOCHS, seed=seed, sandwich=False)
    run(supernet, data, settings, out)
    trained, _ = load_supernet(out / "weights.safetensors")
    found = {
        key.removeprefix("trunk.").removeprefix("heads.0.own."): value
        for key, value in trained.state_dict().items()
    }
    net.load_state_dict(found, strict=False)  # but for the counters of batches
    return net.eval()


def run(supernet: Supernet, data: Dataset, settings: TrainSettings, out: Path) -> None:
    start = time.monotonic()
    for step in train(supernet, data, settings, out):
        if step.step % 100 == 0:
            minutes = (time.monotonic() - start) / 60
            print(f"{out.name}: step {step.step} of {step.n_steps}, {minutes:.0f} min", flush=True)


def macs(supernet: TracedSupernet, genes: Any) -> Any:
    heads = np.zeros((1, supernet.space.n_exits + 1), dtype=bool)
    heads[0, -1] = True
    return supernet.space.operators(genes, heads).macs.sum(axis=1)


def top1(logits: Tensor, labels: Tensor) -> float:
    return round(100 * float((logits[-1].argmax(dim=1) == labels).float().mean()), 2)


def of_supernet(supernet: TracedSupernet, data: Dataset) -> dict[str, Any]:
    """Top-1 of the largest subnet, and of the best found at each share of its MACs.

    As in a search, a predictor of accuracy says which of the drawn subnets are evaluated.
    """
    space = supernet.space
    validation, test = (Evaluation.of(data, split) for split in ("validation", "test"))
    some = replace(
        validation, images=validation.images[:N_IMAGES], labels=validation.labels[:N_IMAGES]
    )
    rng = np.random.default_rng(0)
    drawn = np.unique(space.sample_spread(N_DRAWN, rng), axis=0)
    work, whole = macs(supernet, drawn), int(macs(supernet, space.largest)[0])
    known = rng.choice(drawn, N_EVALUATED, replace=False)
    errors = [100 - top1(some.logits(supernet, s), some.labels) for s in space.subnets(known)]
    predictor = AccuracyPredictor(space).fit(
        AccuracyTable(
            known,
            PolicyGrid(0, ()),
            np.array(errors, dtype=np.float32)[:, None],
            np.ones((N_EVALUATED, 1, 1), dtype=np.float32),
        )
    )
    predicted = predictor.predict(drawn)[0][:, 0]
    tried = {"full": space.largest}
    for name, share in SHARES.items():
        fits = np.flatnonzero(work <= 1.02 * share * whole)
        tried[name] = drawn[fits[np.argsort(predicted[fits])][:N_TRIED]]
    rows = {}
    for name, genes in tried.items():
        found = [
            (top1(validation.logits(supernet, subnet), validation.labels), subnet)
            for subnet in space.subnets(genes)
        ]
        best = max(found, key=lambda pair: pair[0])[1]
        rows[name] = {
            "subnet": str(best),
            "macs": int(macs(supernet, space.genes([best]))[0]),
            "top1_pct": top1(test.logits(supernet, best), test.labels),
        }
    return rows


def pruned(net: nn.Module, share: float, data: Dataset) -> nn.Module:
    """`net` itself with filters removed by their size until `share` of its MACs is left."""
    import torch_pruning as tp

    example = torch.zeros(1, data.channels, data.resolution, data.resolution)
    whole = tp.utils.count_ops_and_params(net, example)[0]
    pruner = tp.pruner.MagnitudePruner(
        net,
        example,
        tp.importance.MagnitudeImportance(p=2),
        iterative_steps=50,
        pruning_ratio=0.9,
        ignored_layers=[net.fc],
        round_to=8,
    )
    while tp.utils.count_ops_and_params(net, example)[0] > 1.02 * share * whole:
        pruner.step()
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data, work, seed = load_dataset(arguments.data), arguments.work, arguments.seed
    rows: dict[str, Any] = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}

    def done(name: str, row: dict[str, Any]) -> None:
        rows[name] = row
        about = {
            "provenance": "measured",
            "host": cpu_name(),
            "epochs": EPOCHS,  # where a row does not say otherwise
            "seed": seed,
            "n_test_images": len(data.test),
            "command": "python benchmarks/wrapped_training.py --data DIR --work DIR",
        }
        write_text(RESULTS, json.dumps({**about, "rows": rows}, indent=1) + "\n")
        print(name, row, flush=True)

    torch.manual_seed(seed)
    net = tuned(ResNet18(), data, work / "alone", seed)
    test = data.normalise(data.test.images)
    if "alone" not in rows:
        with torch.inference_mode():
            logits = torch.cat([net(x) for x in torch.split(test, 500)])
        done("alone", {"top1_pct": top1(logits[None], data.test.labels)})
    if "wrapped" not in rows:
        wrapped = Wrapped(net, data.channels, data.resolution, name="resnet18")
        wrapped.sort()
        settings = TrainSettings(epochs=EPOCHS, seed=seed)
        run(wrapped.supernet(), data, settings, work / "wrapped")
        supernet: Any = load_supernet(work / "wrapped" / "weights.safetensors")[0]
        done("wrapped", of_supernet(supernet, data))
    if "wrapped, longer" not in rows:  # at lower rates, as the zoo
        supernet, _ = load_supernet(work / "wrapped" / "weights.safetensors")
        settings = TrainSettings(epochs=EPOCHS // 2, lr=0.05, muon_lr=0.03, seed=seed + 1)
        run(supernet, data, settings, work / "wrapped-longer")  # type: ignore[arg-type]
        supernet, _ = load_supernet(work / "wrapped-longer" / "weights.safetensors")
        row = of_supernet(supernet, data)  # type: ignore[arg-type]
        done("wrapped, longer", {"epochs": settings.epochs, **row})
    if "wrapped, more subnets" not in rows:
        wrapped = Wrapped(net, data.channels, data.resolution, name="resnet18")
        wrapped.sort(data.normalise(data.train.images[:N_ORDER]))
        settings = TrainSettings(epochs=LONG, n_random=2, seed=seed)
        run(wrapped.supernet(), data, settings, work / "wrapped-more")
        supernet = load_supernet(work / "wrapped-more" / "weights.safetensors")[0]
        done("wrapped, more subnets", {"epochs": LONG, **of_supernet(supernet, data)})
    for name, share in SHARES.items():
        if f"pruned {name}" not in rows:
            small = ResNet18()
            small.load_state_dict(net.state_dict())
            small = tuned(pruned(small.eval(), share, data), data, work / f"pruned-{name}", seed)
            with torch.inference_mode():
                logits = torch.cat([small(x) for x in torch.split(test, 500)])
            done(f"pruned {name}", {"top1_pct": top1(logits[None], data.test.labels)})


if __name__ == "__main__":
    main()
