"""How constants of the device profiles were calibrated: least squares on published curves.

    python benchmarks/device_fit.py --data FOLDER

prints the constants as they stand in the profiles (rounded there). `device_model.py` uses the same
fits on a part of the rows to see how well they foretell the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from device_data import MODES, Floats, Sweep, loudva, tx2_grid, tx2_vgg
from nas.devices import AnalyticDevice, Profile, load_profile
from networks import NETWORKS
from search_spaces import Operators

KINDS = ("conv3x3", "conv", "pointwise", "linear")
POWER = ("power.base_w", "gpu.k_w_per_ghz", "gpu.knee_ghz", "gpu.rise_per_ghz")
TENSORRT, TENSORFLOW = "backends.tensorrt", "backends.tensorflow"


def changed(profile: Profile, values: Mapping[str, Any]) -> Profile:
    """The profile with other constants, named by dotted name."""
    raw = profile.model_dump()
    for name, value in values.items():
        *tables, key = name.split(".")
        part = raw
        for table in tables:
            part = part[table]
        part[key] = value
    return Profile.model_validate(raw)


def model(profile: Profile, backend: str, **options: Any) -> AnalyticDevice:
    return AnalyticDevice(profile, backend=backend, power_mode=MODES[profile.name], **options)


def at(device: AnalyticDevice, mhz: Floats) -> Any:
    """Indices of the levels with these clocks."""
    return np.searchsorted([level.gpu_mhz for level in device.levels], mhz)


def single_stream(
    device: AnalyticDevice, operators: Operators, sweep: Sweep
) -> tuple[Floats, Floats]:
    """ms of an inference, and W over inferences with the sweep's gaps between them."""
    levels = at(device, sweep.mhz)
    latency, energy = (cost[0, levels] for cost in device.cost(operators))
    gap = sweep.gap_ms
    return latency, (energy + gap * device.idle_w()[levels]) / (latency + gap)


def fit_sweep(sweep: Sweep, rows: Any = slice(None)) -> Profile:
    """LOUDVA on one board: efficiency and re-read values of `tensorflow` from some rows."""
    start = load_profile(sweep.device)
    operators = NETWORKS["inception_v3"]()

    def profile(x: Floats) -> Profile:
        kinds = {f"{TENSORFLOW}.efficiency.{kind}": x[0] for kind in KINDS}
        return changed(start, {**kinds, f"{TENSORFLOW}.reread_per_mac": x[1]})

    def faults(x: Floats) -> Floats:
        device = model(profile(x), "tensorflow")
        return np.log(device.cost(operators)[0][0, at(device, sweep.mhz)] / sweep.ms)[rows]

    return profile(_solved(faults, (0.4, 0.03), (0.05, 0), (1, 0.5), loss="soft_l1"))


def fit_power(
    profile: Profile, sweep: Sweep, backend: str, network: str, rows: Any = slice(None)
) -> Profile:
    """Base, slope and knee of the power from some rows, and from power without gaps if known."""
    operators = NETWORKS[network]()

    def faults(x: Floats) -> Floats:
        new = changed(profile, dict(zip(POWER, x, strict=True)))
        device = model(new, backend)
        _, watts = single_stream(device, operators, sweep)
        parts = [np.log(watts / sweep.watts)]
        if sweep.busy_w is not None:
            latency, energy = model(new, backend, batch=4).cost(operators)
            parts.append(np.log((energy / latency)[0, at(device, sweep.mhz)] / sweep.busy_w))
        return np.concatenate([part[sweep.counted][rows] for part in parts])

    x = _solved(faults, (4, 7, 0.7, 0.4), (1, 0.5, 0.1, 0), (8, 30, 1.3, 3))
    return changed(profile, dict(zip(POWER, x, strict=True)))


TX2_FITTED = (
    *(f"{TENSORRT}.efficiency.{kind}" for kind in ("conv3x3", "conv", "pointwise")),
    f"{TENSORRT}.reread_per_mac",
    f"{TENSORRT}.p",
)


def fit_tx2(rows: Any) -> Profile:
    """Efficiencies, tiles, exponent and bandwidth of TX2 from latencies of `tx2_grid`."""
    start = load_profile("tx2")

    def profile(x: Floats) -> Profile:
        gb_per_s = [x[5] * 0.032 * emc for emc in start.emc_mhz]
        same = {f"{TENSORRT}.efficiency.linear": x[2], "memory.gb_per_s": gb_per_s}
        return changed(start, dict(zip(TX2_FITTED, x, strict=False)) | same)

    def faults(x: Floats) -> Floats:
        return np.log(tx2_latencies(profile(x), rows) / rows["latency_ms"].to_numpy())

    low, high = (0.05, 0.05, 0.05, 0, 1.01, 0.4), (1, 1, 1, 0.3, 8, 0.8)
    return profile(_solved(faults, (0.6, 0.25, 0.5, 0.04, 3, 0.53), low, high))


def tx2_latencies(profile: Profile, rows: Any) -> Floats:
    """The model's ms for rows of `tx2_grid`."""
    found = np.empty(len(rows))
    for emc, of in rows.reset_index(drop=True).groupby("emc_mhz"):
        modes = [mode.model_dump() | {"emc_max_mhz": emc} for mode in profile.modes]
        device = model(changed(profile, {"modes": modes}), "tensorrt")
        for network, some in of.groupby("network"):
            latency = device.cost(NETWORKS[network]())[0][0]
            found[some.index] = latency[at(device, some["gpu_mhz"].to_numpy())]
    return found


def _solved(
    faults: Callable[[Floats], Floats],
    x0: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    loss: str = "linear",
) -> Floats:
    """Least squares; `soft_l1` lets single points stay off by more than 2 %."""
    scale = np.abs(np.asarray(x0)) / 4
    found = least_squares(faults, x0, bounds=(low, high), x_scale=scale, loss=loss, f_scale=0.02)
    return np.asarray(found.x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with dvfs_jetson_inference"
    )
    folder = parser.parse_args().data
    names = [f"{TENSORFLOW}.efficiency.conv", f"{TENSORFLOW}.reread_per_mac"]
    for device in ("xavier-nx", "agx-xavier", "nano"):
        sweep = loudva(folder, device)
        fitted = fit_power(fit_sweep(sweep), sweep, "tensorflow", "inception_v3")
        _show(device, fitted, [*names, *POWER])
    fitted = fit_power(fit_tx2(tx2_grid(folder)), tx2_vgg(folder)[0], "tensorrt", "vgg19")
    _show("tx2", fitted, [*TX2_FITTED, "memory.gb_per_s", *POWER])


def _show(device: str, fitted: Profile, names: Sequence[str]) -> None:
    shipped = load_profile(device)
    for name in names:
        pair = [np.round(p.figures()[name], 4).tolist() for p in (fitted, shipped)]
        print(f"{device:12} {name:42} fitted {pair[0]}  shipped {pair[1]}")


if __name__ == "__main__":
    main()
