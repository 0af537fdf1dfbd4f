"""The whole way of one network of timm: trained alone, wrapped, searched, exported, run.

    python benchmarks/wrapped_timm.py --work DIR

trains `mobilenetv3_small_050` on scikit-learn's digits and gives the commands of
docs/your-own-model.md in this process, on one thread. Seconds are of processor time. Finished steps
are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from nas.cli.app import main as nas
from nas.devices.host import cpu_name
from nas.runtime import Engine, read_manifest
from search_spaces import write_text
from supernets import Dataset, load_dataset
from tests.supernets.traced.networks import timm_without_cuda

RESULTS = Path(__file__).parent / "results" / "wrapped_timm.json"
NAME, SIDE, EPOCHS = "mobilenetv3_small_050", 32, 10  # alone
WAY = """
supernet wrap --timm {name} --weights alone.safetensors --resolution {side} --out mynet
supernet train --start mynet --resolution {side} --epochs 4 --threads 1 --out mynet-trained
supernet evaluate mynet-trained --samples 100
search --device xavier-nx --supernet mynet-trained --data digits --evaluate --trials 80 --out run
export --pareto run/pareto.json --supernet mynet-trained --data digits --out board
"""


def network(data: Dataset) -> nn.Module:
    torch.manual_seed(0)
    timm = timm_without_cuda()
    made: nn.Module = timm.create_model(NAME, num_classes=data.n_classes, in_chans=data.channels)
    return made


def train_alone(data: Dataset, out: Path) -> None:
    """Train the network by itself and write its weights."""
    net = network(data).train()
    images, labels = data.normalise(data.train.images), data.train.labels
    batches = [torch.randperm(len(images)).split(64) for _ in range(EPOCHS)]
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    steps = sum(map(len, batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for batch in (b for epoch in batches for b in epoch):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(net(images[batch]), labels[batch]))
        optimizer.step()
        schedule.step()
    save_file(net.state_dict(), out)


@torch.inference_mode()
def alone_error_pct(data: Dataset, weights: Path) -> float:
    """Top-1 error in %, of test images."""
    net = network(data).eval()
    net.load_state_dict(load_file(weights))
    wrong = net(data.normalise(data.test.images)).argmax(dim=1) != data.test.labels
    return round(100 * float(wrong.float().mean()), 2)


def command(text: str) -> None:
    """One command of `nas`; an error ends this program."""
    with patch.object(sys, "argv", ["nas", *text.split()]):
        try:
            nas()
        except SystemExit as stop:
            if stop.code:
                raise


def in_the_engine(board: Path, points: Sequence[dict[str, Any]], data: Dataset) -> dict[str, Any]:
    """Top-1 errors of all exported configurations in ONNX Runtime, of test images."""
    manifest = read_manifest(board)
    engine, images = Engine(manifest), data.normalise(data.test.images).numpy()
    verified = {p["id"]: p["verified"]["top1_error_pct"] for p in points}
    wanted, errors, differences = data.test.labels.numpy(), [], []
    for one in json.loads((board / "manifest.json").read_text())["configurations"]:
        answers = engine(one["id"], images)
        errors.append(100 * float(np.mean(answers.classes != wanted)))
        differences.append(abs(errors[-1] - verified[one["id"]]))
    return {
        "configurations": len(errors),
        "error_pct": [round(f(errors), 2) for f in (min, max)],
        "largest_difference": round(max(differences), 2),
    }


def table(row: dict[str, Any]) -> str:
    """The steps in Markdown, for docs/your-own-model.md."""
    lines = ["| step | seconds of processor time |", "|---|---|"]
    for step, seconds in row["seconds"].items():
        name = f"`{step}`" if step.startswith("nas ") else step
        lines.append(f"| {name} | {seconds:.0f} |")
    return "\n".join([*lines, f"| all | {row['total_s']:.0f} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.work)
    torch.set_num_threads(1)
    timm_without_cuda()
    known = Path("seconds.json")
    seconds: dict[str, float] = json.loads(known.read_text()) if known.exists() else {}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        if name in seconds:
            return None
        start = sum(os.times()[:4])
        found = run()
        seconds[name] = round(sum(os.times()[:4]) - start, 1)
        write_text(known, json.dumps(seconds))
        print(f"{name}: {seconds[name]} s", flush=True)
        return found

    data = load_dataset(None, resolution=SIDE)
    weights = Path("alone.safetensors")
    timed("training alone, 10 epochs", lambda: train_alone(data, weights))
    for line in WAY.format(name=NAME, side=SIDE).strip().splitlines():
        timed(f"nas {line}", partial(command, line))
    seconds.pop("all configurations in ONNX Runtime", None)
    points = json.loads(Path("run/pareto.json").read_text())["points"]
    engine = timed(
        "all configurations in ONNX Runtime", lambda: in_the_engine(Path("board"), points, data)
    )
    row = {
        "provenance": "measured",
        "host": cpu_name(),
        "network": NAME,
        "resolution": SIDE,
        "alone_error_pct": alone_error_pct(data, weights),
        "seconds": seconds,
        "total_s": round(sum(seconds.values()), 1),
        "points": len(points),
        "engine": engine,
        "command": "python benchmarks/wrapped_timm.py --work DIR",
    }
    write_text(RESULTS, json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
