"""Published measurements that the device model is calibrated on and compared with.

Sweeps come from the shared data folder (see `device_model.py`), AGX Xavier's and the single figures
from the sources named in the profiles' `[sources]`: T2T, NVB, MLPERF, NCNN, PUBLIC, LOUDVA.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CALIBRATED = "calibrated"  # a constant of the profile was set from this figure
# No source was recorded and fp16 hardly gains: probably through TensorFlow. TensorRT alone takes
# less for 1.8 times the pixels.
DOUBTED = "in doubt"
ANCHORS = [  # device, mode, backend, precision, network, published ms, how it was used
    ("agx-xavier", "MAXN", "tensorrt", "fp16", "resnet18", 1.64, CALIBRATED),
    ("agx-xavier", "MAXN", "tensorrt", "fp16", "resnet50", 3.37, CALIBRATED),
    ("agx-xavier", "MAXN", "tensorrt", "fp16", "densenet121", 13.0, "held out"),
    ("agx-xavier", "MAXN", "tensorrt", "int8", "resnet50", 1.951, CALIBRATED),
    ("xavier-nx", "MODE_20W_6CORE", "tensorrt", "int8", "resnet50", 2.574, CALIBRATED),
    ("xavier-nx", "MODE_20W_6CORE", "tensorrt", "int8", "ssd_mobilenet_v1", 1.41, "held out"),
    ("orin-nx", "MAXN", "tensorrt", "int8", "resnet50", 1.079, CALIBRATED),
    ("agx-orin", "MAXN", "tensorrt", "int8", "resnet50", 0.636, CALIBRATED),
    ("nano", "MAXN", "tensorrt", "fp16", "resnet18", 11.4, CALIBRATED),
    ("nano", "MAXN", "tensorrt", "fp16", "resnet50", 29.8, CALIBRATED),
    ("nano", "MAXN", "tensorrt", "fp16", "mobilenet_v2_300", 1e3 / 64, CALIBRATED),
    ("nano", "MAXN", "tensorrt", "fp16", "inception_v4", 1e3 / 11, "held out"),
    ("nano", "MAXN", "tensorrt", "fp16", "vgg19", 1e3 / 10, "held out"),
    ("nano", "MAXN", "tensorrt", "fp16", "mobilenet_v2", 17.7, DOUBTED),
    ("nano", "MAXN", "tensorrt", "fp32", "mobilenet_v2", 19.5, DOUBTED),
    ("agx-xavier", "MAXN", "pytorch", "fp16", "resnet18", 7.33, CALIBRATED),
    ("agx-xavier", "MAXN", "pytorch", "fp16", "resnet50", 17.9, "held out"),
    ("agx-xavier", "MAXN", "pytorch", "fp16", "densenet121", 47.5, "held out"),
    ("nano", "MAXN", "pytorch", "fp16", "resnet18", 34.7, CALIBRATED),
    ("nano", "MAXN", "pytorch", "fp16", "resnet50", 81.7, "held out"),
]
NCNN_NETWORKS = ("mobilenet_v2", "mobilenet_v3", "efficientnet_b0", "resnet18", "resnet50")
NCNN = {  # device: precision, MHz of the published row, {threads: ms of NCNN_NETWORKS}
    "nano": ("fp32", 1479, {
        1: (94, 82, 226, 222, 625),
        4: (33.8, 30.8, 70.6, 83.4, 204)}),
    "tx2": ("fp32", 2035.2, {
        1: (59.5, 49.2, 90.3, 125, 386),
        6: (24.1, 25.3, 34.5, 68.5, 317)}),
    "agx-xavier": ("fp16", 2265.6, {
        1: (24.7, 20.6, 35.1, 53.4, 170.5),
        4: (9.4, 9.1, 13.8, 15.4, 47.4),
        8: (8.8, 8.4, 11.9, 11.4, 29.4)}),
    "orin-nano": ("fp16", 1510.4, {
        1: (19.4, 16.6, 36.8, 48.8, 138),
        6: (6.5, 6.1, 10.7, 15.1, 39.3)}),
    "agx-orin": ("fp16", 2201.6, {
        1: (13.3, 11.5, 26.9, 31.1, 89.8),
        4: (5.2, 4.9, 9.6, 10.4, 26.9)}),
    "raspberry-pi-4": ("fp32", 1800, {
        1: (93.5, 72.8, 130, 191, 534),
        4: (61.9, 47.5, 74.2, 123, 263)}),
    "raspberry-pi-5": ("fp16", 2400, {
        1: (16.4, 11.8, 24.2, 29.7, 89.4),
        4: (10.5, 7.35, 12.3, 20.0, 46.2)}),
}  # fmt: skip
VULKAN = {  # device: ms of NCNN_NETWORKS on its GPU, all at the highest clocks
    "nano": (13.0, 14.4, 21.4, 44, 93),
    "tx2": (7.2, 7.6, 11.5, 13.0, 30.3),
    "agx-xavier": (6.5, 7.0, 14.6, 9.3, 12.2),
    "agx-orin": (2.9, 3.7, 4.9, 4.0, 6.1),
}
AGX_LOUDVA = [  # GPU MHz, ms, W at concurrency 1
    (114.75, 267.2, 5.64), (216.75, 143.5, 6.80), (318.75, 99.0, 7.85), (420.75, 76.2, 8.69),
    (522.75, 61.6, 10.17), (624.75, 51.9, 11.90), (675.75, 48.2, 12.49), (828.75, 40.7, 13.46),
    (905.25, 37.9, 14.36), (1032.75, 33.8, 16.03), (1198.5, 30.2, 18.51), (1236.75, 29.4, 18.98),
    (1338.75, 27.7, 20.86), (1377, 27.2, 21.97),
]  # fmt: skip
GAP_MS = 9.2  # between two requests on Xavier NX at its top clocks; AGX Xavier's is not published
MODES = {"xavier-nx": "MODE_20W_6CORE", "agx-xavier": "MAXN", "nano": "MAXN", "tx2": "MAXN"}
TX2_NETWORKS = {"inception_v4": "inception_v4", "resnet": "resnet50", "vgg19": "vgg19"}


@dataclass(frozen=True)
class Sweep:
    """A single-stream sweep over the GPU clock; `gap_ms` passes between two inferences.

    `counted` leaves out points whose power is an outlier; `busy_w` is the power without gaps.
    """

    device: str
    mhz: Floats
    ms: Floats
    watts: Floats
    gap_ms: Floats
    counted: NDArray[np.bool_]
    busy_w: Floats | None = None


def loudva(folder: Path, device: str) -> Sweep:
    """The image classifier of LOUDVA on one board."""
    if device == "agx-xavier":
        mhz, ms, watts = np.array(AGX_LOUDVA).T
        return Sweep(device, mhz, ms, watts, np.full(len(mhz), GAP_MS), np.full(len(mhz), True))
    rows = pd.read_csv(folder / "dvfs_jetson_inference" / "loudva_gpu_freq.csv")
    rows = rows[rows["device"] == f"jetson_{device.replace('-', '_')}"]
    one = rows[rows["concurrency"] == 1].sort_values("gpu_mhz")
    mhz, ms = one["gpu_mhz"].to_numpy(), one["server_total_ms"].to_numpy()
    gap = 1e3 / one["throughput_inf_s"].to_numpy() - ms
    busy = rows[rows["concurrency"] >= 8].groupby("gpu_mhz")["mean_power_w"].median()
    counted = mhz != 114.75 if device == "xavier-nx" else np.full(len(mhz), True)
    return Sweep(
        device, mhz, ms, one["mean_power_w"].to_numpy(), gap, counted, busy[mhz].to_numpy()
    )


def tx2_vgg(folder: Path) -> tuple[Sweep, Floats]:
    """VGG-19 on TX2 at the top memory clock, back to back, and its memory traffic in GB/s."""
    rows = pd.read_csv(folder / "dvfs_jetson_inference" / "tx2_vgg19_gpu_freq_power.csv")
    mhz, ms, watts = (rows[c].to_numpy() for c in ("gpu_mhz", "latency_ms", "module_power_w"))
    sweep = Sweep("tx2", mhz, ms, watts, np.zeros(len(mhz)), np.full(len(mhz), True))
    return sweep, rows["emc_util_pct"].to_numpy() / 100 * 59.7


def tx2_grid(folder: Path) -> pd.DataFrame:
    """156 latencies of three networks: network, gpu_mhz, emc_mhz, latency_ms."""
    rows = pd.read_csv(folder / "dvfs_jetson_inference" / "tx2_tensorrt_gpu_emc.csv")
    return rows.assign(network=rows["model"].map(TX2_NETWORKS))


def desktop_grid(folder: Path) -> pd.DataFrame:
    """Titan X, training and inference of Caffe: what, core_mhz, mem_mhz, ms, watts."""
    rows = pd.read_csv(folder / "dvfs_desktop_gpu_caffe" / "dlbench_core_mem.csv")
    return rows.assign(what=rows["file"], ms=1e3 * rows["time_s"], watts=rows["power_w"])


def training_grid(folder: Path) -> pd.DataFrame:
    """Training steps on AGX Xavier and TX2: what, cpu_mhz, gpu_mhz, emc_mhz, ms, watts."""
    rows = pd.read_csv(folder / "dvfs_jetson_training" / "bofl_cpu_gpu_emc.csv.gz")
    return rows.assign(
        what=rows["device"] + " " + rows["workload"],
        ms=1e3 * rows["step_time_s"],
        watts=rows["step_energy_j"] / rows["step_time_s"],
    )


def ofa_library(folder: Path) -> pd.DataFrame:
    """13 once-for-all subnets in eager PyTorch on Xavier NX: ks, e, d, r, latency_ms."""
    return pd.read_csv(folder / "ofa_mobilenetv3" / "dynamicofa_jetson_library.csv")
