"""What configurations take on this machine: time of an image, time and memory to prepare."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nas.runtime import Engine, Manifest


def benchmark(
    manifest: Manifest, ids: Sequence[str], *, repeats: int = 200, threads: int = 1
) -> Iterator[dict[str, Any]]:
    """A row for each of `ids`: one image of noise, all of its exits asked and none taken."""
    import onnxruntime  # noqa: F401  # its own memory is no network's

    engine = Engine(manifest, threads=threads)
    for id_ in ids:
        configuration = manifest.configuration(id_)
        segments = manifest.network(id_)["segments"]
        shape = manifest.content["files"][segments[0]]["input"]
        image = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
        before, start = resident_mb(), time.perf_counter()
        engine.prepare(id_)
        prepare_ms = 1e3 * (time.perf_counter() - start)
        times = []
        for i in range(repeats + 3):
            start = time.perf_counter()
            engine.logits(configuration["network"], image)
            if i >= 3:  # the first ones allocate
                times.append(1e3 * (time.perf_counter() - start))
        median, late = np.percentile(times, [50, 99])
        row = {"id": id_, "median_ms": round(float(median), 4), "p99_ms": round(float(late), 4)}
        row.update(prepare_ms=round(prepare_ms, 2), memory_mb=round(resident_mb() - before, 2))
        yield {**row, "n_runs": repeats, "threads": threads, "source": "measured"}


def resident_mb() -> float:
    """Memory of this process in RAM, 10^6 bytes; Linux."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
