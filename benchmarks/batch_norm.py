"""What a subnet's own batch-norm statistics are worth, and what half precision costs them.

    python benchmarks/batch_norm.py --data cifar-10-batches-bin

Top-1 of the last exit on the 10,000 test images with the statistics of the largest subnet (sliced),
with the subnet's own (2,000 training images), and with the same read back from a `nas.bn/1` file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from nas.devices.host import cpu_name
from nas.zoo.folder import supernet_folder
from supernets import (
    Evaluation,
    bf16_pays,
    calibrate,
    exit_logits,
    load_dataset,
    load_supernet,
    read_bn_cache,
    sha256,
    write_bn_cache,
)

RESULTS = Path(__file__).parent / "results" / "batch_norm.json"
N_SUBNETS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 binary folder")
    data = parser.parse_args().data
    weights = supernet_folder("auto") / "weights.safetensors"
    net, _ = load_supernet(weights)
    test = Evaluation.of(load_dataset(data), "test")
    subnets = net.space.subnets(net.space.sample_spread(N_SUBNETS, np.random.default_rng(0)))
    start = time.perf_counter()
    own = {s: calibrate(net, s, test.bn_images) for s in subnets}
    seconds = (time.perf_counter() - start) / N_SUBNETS
    shared = {key: (layer.running_mean, layer.running_var) for key, layer in net.norms()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bn.safetensors"
        write_bn_cache(path, net, own, "")
        n_bytes = path.stat().st_size / N_SUBNETS
        cached = read_bn_cache(path, net, "")
    rows = []
    for subnet in subnets:
        sliced = {
            k: (shared[k][0][: len(m)], shared[k][1][: len(m)]) for k, (m, _) in own[subnet].items()
        }
        kinds = {"sliced": sliced, "own": own[subnet], "cached": cached[str(subnet)]}
        row: dict[str, object] = {"subnet": str(subnet)}
        for name, statistics in kinds.items():
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays()):
                logits = exit_logits(net, subnet, test.images, statistics)
            right = (logits[-1].argmax(dim=1) == test.labels).float().mean()
            row[f"{name}_top1_pct"] = round(100 * float(right), 2)
        rows.append({**row, "source": "measured"})
        print(row, flush=True)
    described = {
        "command": "python benchmarks/batch_norm.py --data cifar-10-batches-bin",
        "weights_sha256": sha256(weights),
        "host": cpu_name(),
        "split": "test",
        "n_images": len(test.labels),
        "calibration_s": round(seconds, 2),
        "cache_bytes_per_subnet": round(n_bytes),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
