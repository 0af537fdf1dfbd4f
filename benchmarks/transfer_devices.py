"""What the makers publish of the devices in the measured tables: for models without any row.

Peak in fp32 (int8 for the edge TPU) and memory bandwidth as in the makers' data sheets; of CPUs
cores x clock x vector width, of one thread or cluster where the table says nothing. Starting a
kernel takes what frameworks usually need on such a device: assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

P = 2.8  # joins compute and memory time, as in the profiles of boards
EFFICIENCY = 0.3  # of the peak that convolutions of small images reach: assumed for all


@dataclass(frozen=True)
class Maker:
    """Published figures of one device."""

    gflops: float
    gb_per_s: float
    start_us: float  # of a kernel; assumed

    def latency_ms(self, gflop: Floats, gb: Floats, kernels: Floats) -> Floats:
        """(n,) of networks with so much work: the roofline of a whole network."""
        compute = gflop / (self.gflops * EFFICIENCY)
        return 1e3 * (compute**P + (gb / self.gb_per_s) ** P) ** (1 / P) + kernels * (
            self.start_us / 1e3
        )

    def describe(self, batch: int) -> Floats:
        """What `zero_shot` compares: compute and bandwidth per image against a kernel's start."""
        start = self.start_us / batch
        return np.log([self.gflops * start, self.gb_per_s * start, self.gflops / self.gb_per_s])


MAKERS = {  # by the start of a device's name
    "1080ti": Maker(11340, 484, 10),
    "gtx1080ti": Maker(11340, 484, 10),
    "2080ti": Maker(13450, 616, 10),
    "titan_rtx": Maker(16310, 672, 10),
    "titan_xp": Maker(12150, 548, 10),
    "titanxp": Maker(12150, 548, 10),
    "titanx": Maker(10970, 480, 10),
    "gold": Maker(18 * 2.6 * 64, 141, 20),
    "silver": Maker(10 * 2.2 * 32, 115, 20),
    "pixel3": Maker(4 * 2.8 * 16, 29.9, 20),
    "pixel": Maker(4 * 2.35 * 16, 29.9, 20),
    "samsung": Maker(4 * 2.3 * 16, 28.7, 20),
    "essential": Maker(4 * 2.45 * 16, 29.9, 20),
    "raspi4": Maker(4 * 1.5 * 8, 12.8, 20),
    "pi5": Maker(2.4 * 16, 17.1, 20),
    "snapdragon855_cpu": Maker(2.84 * 16, 34.1, 20),
    "snapdragon855_gpu": Maker(954, 34.1, 30),
    "adreno630": Maker(727, 29.9, 30),
    "adreno640": Maker(954, 34.1, 30),
    "jetson_nano": Maker(236, 25.6, 60),
    "edge_tpu": Maker(4000, 8, 5),
    "fpga": Maker(200, 12.8, 5),
}


def maker(device: str) -> Maker:
    """Of a column of the tables."""
    return MAKERS[max((k for k in MAKERS if device.startswith(k)), key=len)]


def batch(device: str) -> int:
    """Images per run, from a column's name."""
    last = device.rsplit("_", 1)[-1]
    return int(last) if last.isdigit() and last in ("1", "32", "64", "256") else 1
