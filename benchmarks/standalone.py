"""What sharing weights costs: subnets of the zoo against the same networks trained alone.

    python benchmarks/standalone.py --data cifar-10-batches-bin --work runs

Four random subnets of at most 20 million MACs are trained alone, exits included, with the settings
of the zoo's supernet (recipe, epochs, batch), then compared on the 10,000 test images. Runs are
kept in `--work` and a rerun goes on; `--only I` trains one of them and stops there.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from nas.devices.host import cpu_name
from nas.zoo import supernet_folder
from search_spaces import GeneGroup, ResNetSpace, Subnet, encode, feature_names, resnet_cifar
from supernets import Evaluation, ResNetSupernet, load_dataset, load_supernet, sha256
from supernets.training import TrainSettings, train

RESULTS = Path(__file__).parent / "results" / "standalone.json"
N_SUBNETS, MAX_MMACS = 4, 20.0


@dataclass(frozen=True)
class OneSubnet(ResNetSpace):
    """A space whose only member is `subnet`."""

    subnet_genes: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        chosen = dict(self.subnet_genes)
        slots = max(self.depths)
        kept = [b < d for d in chosen["d"] for b in range(slots)]
        expand = tuple(e if k else self.expands[0] for e, k in zip(chosen["e"], kept, strict=True))
        parts = (("d", "depth", chosen["d"]), ("w", "width", chosen["w"]), ("e", "expand", expand))
        return tuple(GeneGroup(c, name, tuple((v,) for v in vs)) for c, name, vs in parts)


def alone(space: ResNetSpace, subnet: Subnet) -> OneSubnet:
    """The space of `subnet` alone; its weights are no wider than the subnet."""
    values = {f.name: getattr(space, f.name) for f in fields(ResNetSpace)}
    widths = tuple((w,) for w in subnet["w"])
    return OneSubnet(**{**values, "widths": widths}, subnet_genes=subnet.groups)


def chosen_subnets(space: ResNetSpace) -> list[Subnet]:
    """The first random subnets that are small enough."""
    genes = space.sample(200, np.random.default_rng(0))
    heads = np.zeros((len(genes), space.n_exits + 1), dtype=bool)
    heads[:, -1] = True
    mmacs = encode(space, genes, heads)[:, feature_names(space).index("mmacs")]
    return space.subnets(genes[mmacs <= MAX_MMACS][:N_SUBNETS])


def run(space: ResNetSpace, subnet: Subnet, settings: TrainSettings, data: Path, out: Path) -> None:
    """Train `subnet` alone into `out`; goes on where it stopped."""
    torch.manual_seed(settings.seed)
    supernet = ResNetSupernet(alone(space, subnet))
    for step in train(supernet, load_dataset(data), settings, out):
        if step.step % 175 == 0:
            print(subnet, step, flush=True)


def top1(supernet: ResNetSupernet, subnet: Subnet, data: Evaluation) -> list[float]:
    """Percent of the test images that every exit gets right."""
    right = data.logits(supernet, subnet).argmax(dim=2) == data.labels
    return [round(float(x), 2) for x in 100 * right.float().mean(dim=1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 binary folder")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--only", type=int, help="train this one of the four, compare nothing")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    space, settings = resnet_cifar(), TrainSettings(n_random=0)
    subnets = chosen_subnets(space)
    todo = range(N_SUBNETS) if arguments.only is None else [arguments.only]
    for i in todo:
        run(space, subnets[i], settings, arguments.data, arguments.work / str(i))
    if arguments.only is not None:
        return
    weights = supernet_folder("auto") / "weights.safetensors"
    shared, metadata = load_supernet(weights)
    assert isinstance(shared, ResNetSupernet)
    recipe = replace(TrainSettings(**metadata["settings"]), n_random=0)
    assert recipe == settings, "the zoo was trained with other settings than the default ones"
    test = Evaluation.of(load_dataset(arguments.data), "test")
    rows = []
    for i, subnet in enumerate(subnets):
        own = ResNetSupernet(alone(space, subnet))
        tensors = load_own(arguments.work / str(i))
        own.load_state_dict(tensors)
        rows.append(
            {
                "subnet": str(subnet),
                "shared_top1_pct": top1(shared, subnet, test),
                "alone_top1_pct": top1(own.eval(), subnet, test),
                "source": "measured",
            }
        )
        gap = rows[-1]["alone_top1_pct"][-1] - rows[-1]["shared_top1_pct"][-1]
        print(f"{subnet}  alone {rows[-1]['alone_top1_pct']}  shared {rows[-1]['shared_top1_pct']}")
        print(f"  the last exit loses {gap:+.2f} points by sharing")
    described = {
        "command": "python benchmarks/standalone.py --data cifar-10-batches-bin --work runs",
        "weights_sha256": sha256(weights),
        "epochs": settings.epochs,
        "split": "test",
        "n_images": len(test.labels),
        "host": cpu_name(),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")


def load_own(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of a run, without its space: a space of one subnet is known to this file alone."""
    from supernets.checkpoint import read_tensors

    tensors, _ = read_tensors(folder / "weights.safetensors", "nas.supernet/1")
    return {k: v.float() for k, v in tensors.items()}


if __name__ == "__main__":
    main()
