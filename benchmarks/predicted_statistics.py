"""What predicted batch-norm statistics cost in accuracy.

    nas search --device nano --seed 1 --out runs/other
    python benchmarks/predicted_statistics.py --data CIFAR --pareto runs/other/pareto.json

Top-1 of every exit on the 5,000 validation images, for subnets of the other search whose statistics
do not ship and for random ones: with the subnet's own statistics (2,000 training images), with own
ones of 500 images, as those that ship are, and with those predicted from what ships.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from nas.devices.host import cpu_name
from nas.pareto import read_pareto
from nas.zoo.folder import STATISTICS, supernet_folder
from search_spaces import Subnet
from supernets import (
    Evaluation,
    PredictedStatistics,
    Statistics,
    Supernet,
    bf16_pays,
    calibrate,
    exit_logits,
    load_dataset,
    load_supernet,
    read_bn_cache,
    sha256,
)

RESULTS = Path(__file__).parent / "results" / "predicted_statistics.json"
N_FRONT, N_RANDOM, N_FEW = 6, 4, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 binary folder")
    parser.add_argument("--pareto", type=Path, required=True, help="of another search")
    asked = parser.parse_args()
    folder = supernet_folder("auto")
    net, _ = load_supernet(folder / "weights.safetensors")
    images = Evaluation.of(load_dataset(asked.data), "validation", bf16=bf16_pays())
    known = read_bn_cache(folder / STATISTICS, net, sha256(folder / "weights.safetensors"))
    predict = PredictedStatistics(net, known)
    rows = []
    for kind, subnet in chosen(net, asked.pareto, known):
        kinds = {
            "own": measured(net, subnet, images, len(images.bn_images)),
            "few": measured(net, subnet, images, N_FEW),
            "predicted": predict(subnet),
        }
        top1 = {name: accuracy(net, subnet, images, found) for name, found in kinds.items()}
        rows.append({"kind": kind, "subnet": str(subnet), **top1, "source": "measured"})
        print(rows[-1], flush=True)
    described = {
        "command": "python benchmarks/predicted_statistics.py --data cifar-10-batches-bin "
        "--pareto runs/other/pareto.json",
        "weights_sha256": sha256(folder / "weights.safetensors"),
        "host": cpu_name(),
        "split": "validation",
        "n_images": len(images.labels),
        "n_known": len(known),
        "rows": rows,
        "lost": {kind: {n: lost(rows, kind, n) for n in ("few", "predicted")} for kind in KINDS},
    }
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")
    print(described["lost"])


KINDS = ("search", "random")


def chosen(net: Supernet, pareto: Path, known: dict[str, Statistics]) -> list[tuple[str, Subnet]]:
    """Subnets of the table that do not ship, spread evenly, and random ones."""
    points = sorted(read_pareto(pareto).points, key=lambda p: p["macs"])
    texts = [t for t in dict.fromkeys(p["subnet"] for p in points) if t not in known]
    print(f"{len(texts)} of {len({p['subnet'] for p in points})} subnets do not ship")
    at = np.linspace(0, len(texts) - 1, min(N_FRONT, len(texts))).round().astype(int)
    front = [net.space.parse(texts[i]) for i in dict.fromkeys(at.tolist())]
    drawn = net.space.subnets(net.space.sample(N_RANDOM, np.random.default_rng(1)))
    return [*(("search", s) for s in front), *(("random", s) for s in drawn)]


def measured(net: Supernet, subnet: Subnet, data: Evaluation, n: int) -> Statistics:
    with torch.autocast("cpu", torch.bfloat16, enabled=data.bf16):
        return calibrate(net, subnet, data.bn_images[:n])


def accuracy(
    net: Supernet, subnet: Subnet, data: Evaluation, statistics: Statistics
) -> list[float]:
    """Top-1 of every exit in percent."""
    with torch.autocast("cpu", torch.bfloat16, enabled=data.bf16):
        logits = exit_logits(net, subnet, data.images, statistics)
    right = (logits.argmax(dim=2) == data.labels).double().mean(dim=1)
    return [round(100 * float(share), 2) for share in right]


def lost(rows: list[dict[str, object]], kind: str, name: str) -> dict[str, list[float]]:
    """Points of top-1 of every exit that are lost against own statistics: mean and largest."""
    of = [row for row in rows if row["kind"] == kind]
    found = np.array([np.subtract(row["own"], row[name]) for row in of])
    return {
        "mean": found.mean(axis=0).round(2).tolist(),
        "largest": found.max(axis=0).round(2).tolist(),
    }


if __name__ == "__main__":
    main()
