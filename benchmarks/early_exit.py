"""Early exits that really stop: measured latency of the engines against the full network.

    python benchmarks/early_exit.py --data cifar-10-batches-bin

The zoo's largest subnet answers test images one by one on one thread: the plain network without
early exits, and the engine with all three exits at one threshold, in torch and in ONNX Runtime.
Predictions and exits are compared with the evaluated policy image by image.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.devices.host import cpu_name
from nas.onnx.graph import segment_model
from nas.runtime import Engine, Manifest
from nas.zoo.folder import supernet_folder
from predictors import read_accuracy_table
from supernets import (
    EarlyExitEngine,
    Segment,
    calibrate,
    calibration_images,
    extract,
    load_dataset,
    load_supernet,
    sha256,
)

RESULTS = Path(__file__).parent / "results" / "early_exit.json"
N_IMAGES, THRESHOLDS = 1000, (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def mean_ms(run: Callable[[Tensor], object], images: Tensor) -> float:
    """Mean milliseconds of `run` over the images, one by one."""
    for image in images[:20]:
        run(image[None])
    start = time.perf_counter()
    for image in images:
        run(image[None])
    return 1e3 * (time.perf_counter() - start) / len(images)


def exported(net: Any, temperatures: list[float], folder: Path, shape: Any) -> Manifest:
    """The network as ONNX segments, with one configuration per threshold."""
    value, files = torch.zeros(1, *shape), []
    for i, segment in enumerate(net.segments):
        assert isinstance(segment, Segment)
        last = i == len(net.segments) - 1
        model, value = segment_model(segment, value, last=last, half=False)
        files.append(f"{i}.onnx")
        (folder / files[-1]).write_bytes(model.SerializeToString())
    network = {"exits": net.head_ids, "temperatures": temperatures, "segments": files, "subnet": ""}
    configurations = [
        {"id": str(t), "level": 0, "network": "net", "thresholds": [t] * (len(files) - 1)}
        for t in (*THRESHOLDS, 2.0)
    ]
    content: Any = {"networks": {"net": network}, "configurations": configurations}
    return Manifest(str(folder), {**content, "files": {file: {} for file in files}})


def policy(logits: list[Tensor], threshold: float, temperatures: list[float]) -> Tensor:
    """Exit and class of every image as an evaluation decides them, `(2, N)`."""
    stack = torch.stack(logits)
    scaled = stack / torch.tensor(temperatures).view(-1, 1, 1)
    leaves = scaled.softmax(dim=2).amax(dim=2).double() >= threshold
    leaves[-1] = True
    exits = leaves.int().argmax(dim=0)
    classes = stack.argmax(dim=2).gather(0, exits[None])[0]
    return torch.stack([exits, classes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 binary folder")
    data = load_dataset(parser.parse_args().data)
    torch.set_num_threads(1)
    folder = supernet_folder("auto")
    net, _ = load_supernet(folder / "weights.safetensors")
    known = read_accuracy_table(folder / "accuracy.safetensors", net.space)
    temperatures = [float(t) for t in known.temperatures]
    subnet = net.space.subnet(net.space.largest)
    statistics = calibrate(net, subnet, calibration_images(data))
    images = data.normalise(data.test.images[:N_IMAGES])
    labels = data.test.labels[:N_IMAGES]
    static = extract(net, subnet, statistics=statistics).fold()
    full = extract(net, subnet, heads=[net.space.n_exits], statistics=statistics).fold()
    rows = []
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        logits = static(images)
        shape = net.space.input_shape(subnet)
        manifest = exported(static, temperatures, Path(temporary), shape)
        alone = exported(full, temperatures[-1:], _sub(temporary, "full"), shape)
        board, whole = Engine(manifest), Engine(alone)
        torch_ms = mean_ms(full, images)
        onnx_ms = mean_ms(lambda x: whole("2.0", x.numpy()), images)
        for threshold in THRESHOLDS:
            engine = EarlyExitEngine(static, [threshold] * net.space.n_exits, temperatures)
            wanted = policy(logits, threshold, temperatures)
            mine = [engine(image[None]) for image in images]
            theirs = [board(str(threshold), image[None].numpy()) for image in images]
            found = torch.tensor([[int(a.exits), int(a.classes)] for a in mine]).T
            onnx = torch.tensor([[int(a.exits[0]), int(a.classes[0])] for a in theirs]).T
            row = {
                "threshold": threshold,
                "exit_rates": [round(float((found[0] == k).float().mean()), 3) for k in range(4)],
                "top1_pct": round(100 * float((found[1] == labels).float().mean()), 2),
                "torch_ms": round(mean_ms(engine, images), 4),
                "torch_full_ms": round(torch_ms, 4),
                "onnxruntime_ms": round(
                    mean_ms(lambda x, t=threshold: board(str(t), x.numpy()), images), 4
                ),
                "onnxruntime_full_ms": round(onnx_ms, 4),
                "equal_to_policy": int((found == wanted).all(dim=0).sum()),
                "onnxruntime_equal_to_policy": int((onnx == wanted).all(dim=0).sum()),
                "source": "measured",
            }
            rows.append(row)
            print(row, flush=True)
    described = {
        "command": "python benchmarks/early_exit.py --data cifar-10-batches-bin",
        "weights_sha256": sha256(folder / "weights.safetensors"),
        "subnet": str(subnet),
        "host": f"{cpu_name()}, 1 thread, batch 1, fp32",
        "n_images": N_IMAGES,
        "split": "test",
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")


def _sub(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


if __name__ == "__main__":
    main()
