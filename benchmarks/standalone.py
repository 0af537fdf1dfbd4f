"""What sharing weights costs: subnets of the zoo against the same networks trained alone.

    python benchmarks/standalone.py --data cifar-10-batches-bin --work runs
    python benchmarks/standalone.py --data cifar-10-batches-bin    # other weights of the supernet

Four random subnets of at most 20 million MACs are trained alone, exits included, with the settings
of the zoo's supernet (recipe, epochs, batch, one training run after the other), then compared on
the 10,000 test images. Runs are kept in `--work` and a rerun goes on; `--only I` trains one of them
and stops there. Without `--work` nothing is trained: the supernet as it is now stands beside the
networks of the results file, with the epochs of both.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.devices.host import cpu_name
from nas.zoo.folder import supernet_folder
from search_spaces import GeneGroup, ResNetSpace, Subnet, encode, feature_names, resnet_cifar
from supernets import Evaluation, ResNetSupernet, Supernet, load_dataset, load_supernet, sha256
from supernets.checkpoint import read_tensors
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


def stages(metadata: dict[str, Any]) -> list[TrainSettings]:
    """The settings of every training run behind weights, the first one first."""
    earlier = stages(metadata["start"]) if metadata.get("start") else []
    settings = TrainSettings(**metadata["settings"])
    return [*earlier, replace(settings, n_random=0, late_epochs=0.0)]


def run(
    space: ResNetSpace, subnet: Subnet, recipe: list[TrainSettings], data: Path, work: Path
) -> ResNetSupernet:
    """`subnet` trained alone as `recipe` says, run after run in `work`; a rerun goes on."""
    torch.manual_seed(recipe[0].seed)
    own = ResNetSupernet(alone(space, subnet))
    for i, settings in enumerate(recipe):
        for step in train(own, load_dataset(data), settings, work / str(i)):
            if step.step % 175 == 0:
                print(subnet, step, flush=True)
        # What a run ships, averaged and in half precision, is what the next one starts from.
        tensors, _ = read_tensors(work / str(i) / "weights.safetensors", "nas.supernet/1")
        own.load_state_dict({k: v.float() for k, v in tensors.items()})
    return own.eval()


def top1(supernet: Supernet, subnet: Subnet, data: Evaluation) -> list[float]:
    """Percent of the test images that every exit gets right."""
    right = data.logits(supernet, subnet).argmax(dim=2) == data.labels
    return [round(float(x), 2) for x in 100 * right.float().mean(dim=1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 binary folder")
    parser.add_argument("--work", type=Path, help="folder of the runs; without: train nothing")
    parser.add_argument("--only", type=int, help="train this one of the four, compare nothing")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    space = resnet_cifar()
    weights = supernet_folder("auto") / "weights.safetensors"
    shared, metadata = load_supernet(weights)
    recipe = stages(metadata)
    subnets = chosen_subnets(space)
    supernet_epochs = epochs = [settings.epochs for settings in recipe]
    test = Evaluation.of(load_dataset(arguments.data), "test")
    if arguments.work is None:
        earlier = json.loads(RESULTS.read_text())
        epochs = earlier["epochs"]
        own = {row["subnet"]: row["alone_top1_pct"] for row in earlier["rows"]}
    else:
        todo = range(N_SUBNETS) if arguments.only is None else [arguments.only]
        folders = {i: arguments.work / str(i) for i in todo}
        nets = {i: run(space, subnets[i], recipe, arguments.data, f) for i, f in folders.items()}
        if arguments.only is not None:
            return
        own = {str(subnets[i]): top1(net, subnets[i], test) for i, net in nets.items()}
    rows = []
    for subnet in subnets:
        ours, alone_ = top1(shared, subnet, test), own[str(subnet)]
        row = {"subnet": str(subnet), "shared_top1_pct": ours, "alone_top1_pct": alone_}
        rows.append({**row, "source": "measured"})
        print(f"{subnet}  alone {alone_}  shared {ours}")
        print(f"  the last exit loses {alone_[-1] - ours[-1]:+.2f} points by sharing")
    described = {
        "command": "python benchmarks/standalone.py --data cifar-10-batches-bin"
        + ("" if arguments.work is None else " --work runs"),
        "weights_sha256": sha256(weights),
        "epochs": epochs,  # of the networks alone
        "supernet_epochs": supernet_epochs,
        "split": "test",
        "n_images": len(test.labels),
        "host": cpu_name(),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
