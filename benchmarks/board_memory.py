"""One set of weights on the board: size of the folder, equal answers, switches, resident memory.

    nas export --pareto runs/xavier-nx/pareto.json --bn-cache BN --out board
    nas export --pareto runs/xavier-nx/pareto.json --bn-cache BN --out alone --standalone
    python benchmarks/board_memory.py board alone

Both folders hold the same networks. Every figure is measured on this machine with one thread;
memory is that of a fresh process for each number of networks. Times are given as wall clock and as
CPU time of the thread, which other programs do not stretch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from nas.devices.host import cpu_name
from nas.runtime import Engine, Manifest, read_manifest
from nas.start.benchmark import resident_mb

RESULTS = Path(__file__).parent / "results" / "board_memory.json"
NUMBERS, N_SWITCHES = (2, 10, 50), 4000


def networks(manifest: Manifest) -> list[str]:
    """A configuration for each network, in the order of the file."""
    firsts: dict[str, str] = {}
    for configuration in manifest.content["configurations"]:
        firsts.setdefault(configuration["network"], configuration["id"])
    return list(firsts.values())


def images(manifest: Manifest, id_: str, n: int) -> np.ndarray:
    shape = manifest.content["files"][manifest.network(id_)["segments"][0]]["input"]
    return np.random.default_rng(0).standard_normal((n, *shape)).astype(np.float32)


def sizes(manifest: Manifest) -> dict[str, Any]:
    """Bytes of the folder by kind."""
    found = {path.name: path.stat().st_size for path in Path(manifest.folder).iterdir()}
    kinds = {"graphs": sum(size for name, size in found.items() if name.endswith(".onnx"))}
    named = (
        "weights.safetensors",
        "statistics.safetensors",
        "slices.json.gz",
        "manifest.json",
        "run.pyz",
    )
    kinds |= {name: found[name] for name in named if name in found}
    return {**kinds, "README.md": found["README.md"], "total": sum(found.values())}


def largest_difference(a: Engine, b: Engine) -> float:
    """Of any logit of any exit of any network, relative to the largest of its exit."""
    worst = 0.0
    for id_ in networks(a.manifest):
        x = images(a.manifest, id_, 16)
        pair = (e.logits(e.manifest.configuration(id_)["network"], x) for e in (a, b))
        for mine, theirs in zip(*pair, strict=True):
            worst = max(worst, float(np.abs(mine - theirs).max() / np.abs(theirs).max()))
    return worst


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds: wall clock, CPU time of this thread."""
    wall, cpu = time.perf_counter(), time.thread_time()
    run()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.thread_time() - cpu)


def spread(times: list[tuple[float, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, values in zip(("wall", "cpu"), np.array(times).T, strict=True):
        for key, share in (("median", 50), ("p99", 99), ("max", 100)):
            found[f"{name}_{key}_ms"] = round(float(np.percentile(values, share)), 4)
    return found


def switches(manifest: Manifest) -> dict[str, Any]:
    """A switch to a network that is prepared, and to one that is not."""
    engine, ids = Engine(manifest), networks(manifest)
    unprepared = spread([timed(lambda id_=id_: engine.prepare(id_)) for id_ in ids])
    rng = np.random.default_rng(0)
    chosen = [ids[i] for i in rng.integers(0, len(ids), N_SWITCHES)]
    prepared = spread([timed(lambda id_=id_: engine.prepare(id_)) for id_ in chosen])
    weights = engine._weights
    cut: list[tuple[float, float]] = []
    for id_ in ids if weights else []:
        network = manifest.network(id_)
        for file in network["segments"]:
            cut.append(timed(lambda f=file, s=network["subnet"]: weights.of(f, s)))
    found: dict[str, Any] = {"prepared": prepared, "unprepared": unprepared}
    return {**found, "of_which_cutting_a_segment": spread(cut)} if cut else found


def memory(folder: str, n: int) -> dict[str, Any]:
    """Resident MB that `n` prepared networks add, before and after an image of each."""
    manifest = read_manifest(folder)
    ids = networks(manifest)
    ids = [ids[i] for i in np.linspace(0, len(ids) - 1, n).astype(int)]
    before = resident_mb()
    engine = Engine(manifest)
    for id_ in ids:
        engine.prepare(id_)
    prepared = resident_mb() - before
    for id_ in ids:
        engine.logits(manifest.configuration(id_)["network"], images(manifest, id_, 1))
    row = {"networks": n, "prepared_mb": prepared, "after_an_image_mb": resident_mb() - before}
    return {**row, "engine_counts_mb": engine.sessions.used_bytes / 1e6}


def memory_rows(folder: str) -> list[dict[str, Any]]:
    rows = []
    for n in NUMBERS:
        command = [sys.executable, __file__, folder, folder, "--memory-of", str(n)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        rows.append({key: round(value, 1) for key, value in json.loads(done.stdout).items()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared")
    parser.add_argument("alone")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory_of:
        print(json.dumps(memory(asked.shared, asked.memory_of)))
        return
    shared, alone = read_manifest(asked.shared), read_manifest(asked.alone)
    folder = sizes(shared)
    weights, statistics = folder["weights.safetensors"], folder["statistics.safetensors"]
    described = {
        "command": "python benchmarks/board_memory.py board alone",
        "host": f"{cpu_name()}, 1 thread; other programs ran at the same time",
        "onnxruntime": onnxruntime.__version__,
        "source": "measured",
        "configurations": len(shared.ids),
        "networks": len(shared.content["networks"]),
        "folder_bytes": folder,
        "folder_to_weights_and_statistics": round(folder["total"] / (weights + statistics), 3),
        "standalone_bytes": sizes(alone)["total"],
        "largest_logit_difference": largest_difference(
            Engine(shared, memory_mb=1), Engine(alone, memory_mb=1)
        ),
        "switch": switches(shared),
        "switch_standalone": switches(alone),
        "memory": memory_rows(asked.shared),
        "memory_standalone": memory_rows(asked.alone),
    }
    print(json.dumps(described, indent=1))
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
