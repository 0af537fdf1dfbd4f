"""One search for several devices, and warm starts, beside a search for each device alone.

    python benchmarks/several_devices.py

The zoo's supernet on three boards (simulated). `alone`: 1,000 subnets for one device. `together`:
1,000 subnets for all three. `warm`: alone, from the result of the device before it in the list.
Hypervolume is that of `search.progress` (mean share of a box that is the same for all runs); the
table shows its ratio to `alone` after 1,000 subnets of the same seed, mean over seeds.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from nas.search import SearchSettings, search_devices

RESULTS = Path(__file__).parent / "results" / "several_devices.json"
DEVICES = ("tx2", "xavier-nx", "nano")
SEEDS, TRIALS, SHOWN = 3, 1000, (100, 300, 1000)


def volumes(search: dict[str, Any]) -> dict[int, float]:
    """Hypervolume by the number of subnets."""
    return {step["n_subnets"]: step["hypervolume"] for step in search["progress"]}


def one_seed(seed: int, folder: Path) -> list[dict[str, Any]]:
    """Rows `method, device, seed, n_subnets, hypervolume` and the size of the shared set."""
    found = []

    def search(method: str, devices: tuple[str, ...], warm: Path | None = None) -> None:
        out = folder / f"{method}-{'+'.join(devices)}"
        settings = SearchSettings(
            devices[0], out, others=devices[1:], n_trials=TRIALS, seed=seed, warm_start=warm
        )
        tables, shared = search_devices(settings)
        for device, table in zip(devices, tables, strict=True):
            curve = volumes(table.content["search"])
            found.extend(
                {
                    "method": method,
                    "device": device,
                    "seed": seed,
                    "n_subnets": n,
                    "hypervolume": curve[n],
                    "n_shared": shared and len(shared["set"]),
                }
                for n in SHOWN
            )

    for device in DEVICES:
        search("alone", (device,))
    search("together", DEVICES)
    for before, device in zip((DEVICES[-1], *DEVICES), DEVICES, strict=False):
        search("warm", (device,), folder / f"alone-{before}" / "pareto.json")
    return found


def main() -> None:
    rows: list[dict[str, Any]] = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            rows += one_seed(seed, Path(folder))
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    best = {
        (r["device"], r["seed"]): r["hypervolume"]
        for r in rows
        if r["method"] == "alone" and r["n_subnets"] == TRIALS
    }
    print(f"{'':22}" + "".join(f"{n:>10}" for n in SHOWN) + "  subnets")
    for method in ("alone", "together", "warm"):
        for device in DEVICES:
            shares = [
                [
                    r["hypervolume"] / best[device, r["seed"]]
                    for r in rows
                    if (r["method"], r["device"], r["n_subnets"]) == (method, device, n)
                ]
                for n in SHOWN
            ]
            cells = "".join(f"{sum(s) / len(s):10.4f}" for s in shares)
            print(f"{method:10}{device:12}{cells}")
    sizes = [r["n_shared"] for r in rows if r["method"] == "together" and r["n_subnets"] == TRIALS]
    print(f"shared sets: {min(sizes)} to {max(sizes)} subnets")


if __name__ == "__main__":
    main()
