"""From few clocks to all: latency, power and energy of measured sweeps.

    python benchmarks/clocks.py --data hardware

Single-stream sweeps of Jetson Nano, Xavier NX, AGX Xavier and TX2: three clocks (a sixth and a half
of the way up the list, and the top) are given, the others predicted by `predictors.cost.law` and
`predictors.cost.power`, whose shape comes from the other boards. The 114.75 MHz power of Xavier NX,
a known outlier, is not counted. `ways` are ways to know more of the power: other clocks (those
nearest to 0.4 and 0.7 of the top), the idle power that is published of the board for its base, the
knee of its profile (fitted to these sweeps, so a best case); each as the error of the three clocks
over that of the fit to all, on the same clocks. Grids of AGX Xavier and TX2 (CPU x GPU x memory
clock): 5 % of the settings are given to `ClockPredictor`. "fit to all" is the same law fitted to
every row, which it has seen; "left out" is each row by the law fitted to all others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from device_data import AGX_LOUDVA
from predictors import ClockPredictor, mape_pct, srcc
from predictors.cost.law import fit_latency_law
from predictors.cost.power import SPREAD, USUAL, PowerShape, fit_power_law

RESULTS = Path(__file__).parent / "results" / "clocks.json"
SHARE, SEEDS = 0.05, 5
IDLE_W = {  # published, of other measurements; Nano's assumed (its profile says the same)
    "jetson_nano": 1.25,
    "jetson_xavier_nx": 3.9,
    "jetson_agx_xavier": 3.2,
    "jetson_tx2": 4.2,
}
KNEE_GHZ = {  # of the profiles
    "jetson_nano": 0.58,
    "jetson_xavier_nx": 0.75,
    "jetson_agx_xavier": 0.818,
    "jetson_tx2": 0.8,
}
IDLE_SPREAD = 0.05  # of the base around the idle power, of the power at the top clock

Floats = NDArray[np.float64]
Sweep = tuple[Floats, Floats, Floats | None]  # GHz, ms, W


def sweeps(folder: Path) -> dict[str, Sweep]:
    """Latency, and power where it was measured, over rising clocks."""
    folder = folder / "dvfs_jetson_inference"
    found: dict[str, Sweep] = {}
    loudva = pd.read_csv(folder / "loudva_gpu_freq.csv").query("concurrency == 1")
    for device, rows in loudva.sort_values("gpu_mhz").groupby("device"):
        found[str(device)] = _columns(rows, "server_infer_ms", "mean_power_w")
    mhz, latency, watts = np.array(AGX_LOUDVA).T
    found["jetson_agx_xavier"] = (mhz / 1e3, latency, watts)
    tx2 = pd.read_csv(folder / "tx2_tensorrt_gpu_emc.csv").sort_values("gpu_mhz")
    for (model, emc), rows in tx2.groupby(["model", "emc_mhz"]):
        found[f"jetson_tx2 {model}, memory at {emc:.0f} MHz"] = _columns(rows, "latency_ms")
    power = pd.read_csv(folder / "tx2_vgg19_gpu_freq_power.csv").sort_values("gpu_mhz")
    found["jetson_tx2"] = _columns(power, "latency_ms", "module_power_w")
    return found


def _columns(rows: pd.DataFrame, latency: str, power: str | None = None) -> Sweep:
    watts = rows[power].to_numpy() if power else None
    return rows["gpu_mhz"].to_numpy() / 1e3, rows[latency].to_numpy(), watts


def counted(name: str, f: Floats) -> NDArray[np.bool_]:
    """Rows whose power counts."""
    return (f > 0.115) | (name != "jetson_xavier_nx")


def shape(name: str, sweep: Sweep) -> PowerShape:
    """What a board says of the usual shape of power."""
    f, t, watts = sweep
    assert watts is not None
    one, keep = np.ones(len(f)), counted(name, f)
    share = fit_latency_law(one, f, t).clocked_share(one, f)
    law = fit_power_law(f[keep], share[keep], watts[keep])
    top = float(f.max())
    ratio = 1 + law.rise_per_ghz * max(top - law.knee_ghz, 0)
    return PowerShape(law.base_w / float(watts.max()), law.knee_ghz / top, ratio)


def three_clocks(name: str, sweep: Sweep, usual: PowerShape) -> dict[str, Any]:
    """Errors of everything predicted from three clocks."""
    f, t, watts = sweep
    n, one = len(f), np.ones(len(f))
    given = [n // 6, n // 2, n - 1]
    rest = np.setdiff1d(np.arange(n), given)
    law = fit_latency_law(one[given], f[given], t[given])
    latency = law.latency_ms(one, f)
    row: dict[str, Any] = {
        "sweep": name,
        "given_mhz": (1e3 * f[given]).round(2).tolist(),
        "latency_mape_pct": round(mape_pct(t[rest], latency[rest]), 2),
    }
    if watts is None:
        return row
    share = law.clocked_share(one, f)
    keep = counted(name, f)
    judged = [i for i in rest if keep[i]]
    power = fit_power_law(f[given], share[given], watts[given], usual=usual).power_w(f, share)
    every = fit_power_law(f[keep], share[keep], watts[keep], usual=usual).power_w(f, share)
    others = left_out(f, share, watts, keep, usual)
    error = 100 * np.abs(power / watts - 1)[judged]
    energy, best = t * watts, int(np.argmin(latency * power))
    row |= {
        "power_median_error_pct": round(float(np.median(error)), 2),
        "power_mape_pct": round(float(error.mean()), 2),
        "power_mape_fit_to_all_pct": round(mape_pct(watts[judged], every[judged]), 2),
        "power_mape_left_out_pct": round(mape_pct(watts[judged], others[judged]), 2),
        "chosen_mhz": round(1e3 * float(f[best]), 2),
        "energy_above_best_pct": round(100 * float(energy[best] / energy.min() - 1), 2),
    }
    return row


def left_out(
    f: Floats, share: Floats, watts: Floats, keep: NDArray[np.bool_], usual: PowerShape
) -> Floats:
    """Power of every clock by the law fitted to all others: what no choice of clocks can beat."""
    power = watts.copy()
    for i in np.flatnonzero(keep):
        rest = keep & (np.arange(len(f)) != i)
        law = fit_power_law(f[rest], share[rest], watts[rest], usual=usual)
        power[i] = law.power_w(f[i], share[i])
    return power


def ways(name: str, sweep: Sweep, usual: PowerShape) -> dict[str, Any]:
    """Power from three clocks, by what else is known: error over that of the fit to all clocks."""
    f, t, watts = sweep
    assert watts is not None
    n, one, keep = len(f), np.ones(len(f)), counted(name, f)
    share = fit_latency_law(one, f, t).clocked_share(one, f)
    every = fit_power_law(f[keep], share[keep], watts[keep], usual=usual).power_w(f, share)
    idle = PowerShape(IDLE_W[name] / float(watts.max()), usual.knee_share, usual.voltage_ratio)
    sure = PowerShape(IDLE_SPREAD, SPREAD.knee_share, SPREAD.voltage_ratio)
    near = [int(np.abs(f / f[-1] - part).argmin()) for part in (0.4, 0.7)]
    row: dict[str, Any] = {"sweep": name}
    for clocks, given in {"": [n // 6, n // 2, n - 1], "0.4, 0.7, ": [*near, n - 1]}.items():
        law = fit_latency_law(one[given], f[given], t[given])
        known = f[given], law.clocked_share(one, f)[given], watts[given]
        fits = {
            "shape alone": fit_power_law(*known, usual=usual),
            "idle power": fit_power_law(*known, usual=idle, spread=sure),
            "knee": fit_power_law(*known, usual=usual, knee_ghz=KNEE_GHZ[name]),
        }
        judged = [i for i in np.setdiff1d(np.arange(n), given) if keep[i]]
        least = mape_pct(watts[judged], every[judged])
        for way, fit in fits.items():
            power = fit.power_w(f, law.clocked_share(one, f))
            row[clocks + way] = round(mape_pct(watts[judged], power[judged]) / least, 2)
    return row


def grids(folder: Path) -> Iterator[dict[str, Any]]:
    """Errors on the settings that were not given, mean of the seeds."""
    rows = pd.read_csv(folder / "dvfs_jetson_training" / "bofl_cpu_gpu_emc.csv.gz")
    for (device, workload), grid in rows.groupby(["device", "workload"]):
        X = grid[["cpu_mhz", "gpu_mhz", "emc_mhz"]].to_numpy()
        for cost in ("step_time_s", "step_energy_j"):
            y, errors, ranks = grid[cost].to_numpy(), [], []
            for seed in range(SEEDS):
                order = np.random.default_rng(seed).permutation(len(y))
                given, rest = np.split(order, [int(SHARE * len(y))])
                predicted = ClockPredictor().fit(X[given], y[given]).predict(X[rest])
                errors.append(mape_pct(y[rest], predicted))
                ranks.append(srcc(y[rest], predicted))
            yield {
                "grid": f"{device} {workload}",
                "cost": cost,
                "n_given": int(SHARE * len(y)),
                "n_settings": len(y),
                "mape_pct": round(float(np.mean(errors)), 2),
                "srcc": round(float(np.mean(ranks)), 4),
                "srcc_spread": round(float(np.std(ranks)), 4),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    arguments = parser.parse_args()
    found = sweeps(arguments.data)
    shapes = {name: shape(name, s) for name, s in found.items() if s[2] is not None}
    rows, tried = [], []
    for name, sweep in found.items():
        others = [s for other, s in shapes.items() if other != name]
        usual = PowerShape(*np.mean([list(vars(s).values()) for s in others], axis=0))
        rows.append(three_clocks(name, sweep, usual if name in shapes else USUAL))
        if name in shapes:
            tried.append(ways(name, sweep, usual))
    result = {
        "command": "python benchmarks/clocks.py --data hardware",
        "source": "predicted from measured rows, judged on measured rows",
        "shapes": {name: vars(s) for name, s in shapes.items()},
        "three_clocks": rows,
        "ways": tried,
        "grids": list(grids(arguments.data)),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for part in ("three_clocks", "ways", "grids"):
        print(pd.DataFrame(result[part]).to_string(index=False))


if __name__ == "__main__":
    main()
