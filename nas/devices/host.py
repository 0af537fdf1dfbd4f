"""This machine as a device: programs are really run and timed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces import DvfsLevel, Space, Subnet, format_heads

N_WARMUP = 5
UNKNOWN_MHZ = 1000.0  # stands in where the system hides its clock; there is one level only


def time_ms(run: Callable[[], object], *, seconds: float, min_runs: int = 20) -> list[float]:
    """Milliseconds of each call, warm-up excluded, for at least `seconds` and `min_runs`."""
    for _ in range(N_WARMUP):
        run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < min_runs or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return times


class HostDevice:
    """PyTorch eager in fp32 on the CPU, batch 1; batch norm is folded, memory is channels-last."""

    name, processor, backend, precision = "host", "cpu", "pytorch", "fp32"
    power_mode, source = None, "measured"

    def __init__(self, *, threads: int = 1, seconds: float = 0.3, batch: int = 1) -> None:
        self.threads, self.seconds, self.batch = threads, seconds, batch
        self.levels = [DvfsLevel(0, None, cpu_mhz() or UNKNOWN_MHZ, None)]

    def measure(
        self, space: Space, subnet: Subnet, heads: Sequence[int], level: int = 0
    ) -> dict[str, Any]:
        """One measured row of the program (`subnet`, `heads`), at the clock the machine has now.

        Weights are random: they cost what trained ones cost.
        """
        del level  # the host's clock is left as it is
        import torch

        from supernets import extract

        net = extract(_random_supernet(space), subnet, heads=heads).fold()
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.randn(self.batch, *space.input_shape(subnet))
        x = x.contiguous(memory_format=torch.channels_last)
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                times = time_ms(lambda: net(x), seconds=self.seconds)
        finally:
            torch.set_num_threads(before)
        return {
            "space": space.name,
            "subnet": str(subnet),
            "heads": format_heads(heads),
            "device": self.name,
            "level": 0,
            "processor": self.processor,
            "backend": self.backend,
            "precision": self.precision,
            "batch": self.batch,
            "cpu_mhz": cpu_mhz(),  # None where the system hides it: a stand-in is not measured
            "latency_ms": round(float(np.median(times)), 5),
            "latency_p95_ms": round(float(np.percentile(times, 95)), 5),
            "n_runs": len(times),
            "source": self.source,
            "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "host": f"{cpu_name()}, {self.threads} thread" + "s" * (self.threads > 1),
        }

    @cached_property
    def decision_ms(self) -> float:
        """Median time of one exit decision: softmax, maximum, comparison of ten logits."""
        import torch

        logits = torch.randn(self.batch, 10)
        with torch.inference_mode():
            times = time_ms(lambda: bool(logits.softmax(1).max() > 0.5), seconds=0.05)
        return float(np.median(times))


@cache
def _random_supernet(space: Space) -> Any:
    """Untrained weights of `space`; InputError where it comes with tables alone."""
    from supernets import build_supernet

    return build_supernet(space).eval()


def cpu_name() -> str:
    """The processor's model name as the kernel gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cpu_mhz() -> float | None:
    """The present clock of CPU 0, None where the system does not tell."""
    sysfs = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    if sysfs.is_file():
        return int(sysfs.read_text()) / 1e3
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("cpu MHz"):
                return float(line.split(":", 1)[1])
    return None


def busy_cores() -> float | None:
    """Runnable processes over the last minute; None on systems without a load average."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
