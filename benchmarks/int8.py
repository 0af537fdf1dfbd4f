"""What int8 gives and takes: size, error on test images, time of a frame, beside fp32.

    nas export --pareto PARETO --data CIFAR --standalone --out fp32 --id A --id B
    nas export --pareto PARETO --data CIFAR --precision int8 --out int8 --id A --id B
    python benchmarks/int8.py fp32 int8 --data CIFAR

The points A and B are given; errors are of the first 2,000 test images. Times are medians of the
CPU time of one image at a time, all exits, on one thread of ONNX Runtime, both in turns.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from nas.devices.host import cpu_name
from nas.runtime import Engine, Manifest, read_manifest
from supernets import Dataset, load_dataset

RESULTS = Path(__file__).parent / "results" / "int8.json"
N_IMAGES, N_TIMES, BATCH = 2000, 150, 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fp32", help="folder of fp32, --standalone")
    parser.add_argument("int8", help="folder of the same points in int8")
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 binary folder")
    asked = parser.parse_args()
    dataset = load_dataset(asked.data)
    manifests = {name: read_manifest(getattr(asked, name)) for name in ("fp32", "int8")}
    engines = {name: Engine(manifest) for name, manifest in manifests.items()}
    rows = []
    for id_ in manifests["int8"].ids:
        row: dict[str, Any] = {"id": id_, "macs": manifests["int8"].configuration(id_)["macs"]}
        times = frame_ms(engines, id_)
        for name, manifest in manifests.items():
            error, rates = answers(engines[name], dataset, id_)
            row[name] = {
                "bytes": sum(
                    Path(manifest.path(f)).stat().st_size for f in segments(manifest, id_)
                ),
                "top1_error_pct": error,
                "exit_rates": rates,
                "frame_ms": times[name],
            }
        rows.append({**row, "source": "measured"})
        print(rows[-1], flush=True)
    described = {
        "command": "python benchmarks/int8.py fp32 int8 --data CIFAR",
        "host": cpu_name(),
        "onnxruntime": onnxruntime.__version__,
        "split": "test",
        "n_images": N_IMAGES,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")


def segments(manifest: Manifest, id_: str) -> list[str]:
    return list(manifest.network(id_)["segments"])


def answers(engine: Engine, dataset: Dataset, id_: str) -> tuple[float, list[float]]:
    """Error in percent of test images, and the share that leaves at each exit of the network."""
    images = dataset.test.images[:N_IMAGES].numpy()
    labels = dataset.test.labels[:N_IMAGES].numpy()
    found = [
        engine(id_, engine.manifest.normalise(images[i : i + BATCH]))
        for i in range(0, len(images), BATCH)
    ]
    classes = np.concatenate([part.classes for part in found])
    exits = np.concatenate([part.exits for part in found])
    own = engine.manifest.network(id_)["exits"]
    shares = [round(float((exits == exit_).mean()), 4) for exit_ in own]
    return round(100 * float((classes != labels).mean()), 3), shares


def frame_ms(engines: dict[str, Engine], id_: str) -> dict[str, float]:
    """Median CPU milliseconds of one image through all exits."""
    manifest = next(iter(engines.values())).manifest
    shape = manifest.content["files"][segments(manifest, id_)[0]]["input"]
    image = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(N_TIMES):
        for name, engine in engines.items():
            network = engine.manifest.configuration(id_)["network"]
            start = time.thread_time()
            engine.logits(network, image)
            times[name].append(1e3 * (time.thread_time() - start))
    return {name: round(float(np.median(found[10:])), 4) for name, found in times.items()}


if __name__ == "__main__":
    main()
