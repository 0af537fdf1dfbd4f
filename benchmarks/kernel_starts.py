"""What counting kernels adds to the transfer from one proxy, on measured devices.

    python benchmarks/kernel_starts.py --data hardware

NAS-Bench-201: the law of `predictors/cost/law.py` is fitted to a few cells of a target, spread over
the proxy's latency, with and without the number of their kernels, and judged on all others. Proxies
are CPUs; targets are GPUs at batch 1 and 256, an FPGA and a phone. Both are measured at one clock.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas.transfer.programs import Programs
from predictors import MonotoneTransfer, mape_pct, srcc
from search_spaces import NASBench201Space, write_text

RESULTS = Path(__file__).parent / "results" / "kernel_starts.json"
PROXIES = ("gold_6240", "silver_4114", "raspi4", "pixel3")
TARGETS = {
    "GPU, batch 1": ("1080ti_1", "2080ti_1", "titanx_1", "titanxp_1"),
    "GPU, batch 256": ("1080ti_256", "titanx_256"),
    "FPGA": ("fpga",),
    "phone": ("samsung_s7",),
}
N_ROWS, DRAWS, POOL, CLOCK_MHZ = (8, 24), 4, 400, 1000.0


def judged(table: pd.DataFrame, proxy: str, target: str) -> list[dict[str, Any]]:
    """One row per number of cells and draw: error and rank with and without kernels."""
    known = table[(table[proxy] > 0) & (table[target] > 0)]
    h, t, kernels = (known[c].to_numpy(dtype=float) for c in (proxy, target, "kernels"))
    rows = []
    for draw in range(DRAWS):
        pool = np.random.default_rng(draw).choice(len(known), POOL, replace=False)
        pool = pool[np.argsort(h[pool])]
        for n in N_ROWS:
            own = pool[np.linspace(0, POOL - 1, n).astype(int)]
            rest = np.setdiff1d(np.arange(len(known)), own)
            row: dict[str, Any] = {"proxy": proxy, "target": target, "n_rows": n, "draw": draw}
            for name, k in (("without", np.zeros_like(h)), ("with", kernels)):
                fitted = MonotoneTransfer().fit(h[own], CLOCK_MHZ, t[own], kernels=k[own])
                predicted = fitted.predict(h[rest], CLOCK_MHZ, k[rest])
                row[f"mape_pct_{name}"] = round(mape_pct(t[rest], predicted), 2)
                row[f"srcc_{name}"] = round(srcc(t[rest], predicted), 4)
            rows.append(row)
    return rows


def load(folder: Path) -> pd.DataFrame:
    """Measured latencies of all cells that are networks, with their number of kernels."""
    cells = pd.read_csv(folder / "nasbench201/accuracy.csv.gz").set_index("arch_idx")
    latency = pd.read_csv(folder / "nasbench201/latency_help_ms.csv.gz").set_index("arch_idx")
    space = NASBench201Space()
    genes = space.parse_all(cells["arch_str"].tolist())
    heads = np.ones((len(genes), 1), dtype=bool)
    table = latency.assign(kernels=pd.Series(Programs(space, genes, heads).kernels, cells.index))
    return table[table["kernels"] > table["kernels"].min()]  # without an operator: no network


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of measured tables")
    table = load(parser.parse_args().data)
    rows = [
        {"kind": kind} | row
        for kind, targets in TARGETS.items()
        for target in targets
        for proxy in PROXIES
        for row in judged(table, proxy, target)
    ]
    means = pd.DataFrame(rows).drop(columns=["proxy", "target", "draw"])
    summary = means.groupby(["kind", "n_rows"], sort=False).mean().round(3).reset_index()
    overall = means.drop(columns="kind").groupby("n_rows").mean().round(3).reset_index()
    content = {
        "command": "python benchmarks/kernel_starts.py --data hardware",
        "source": "measured",
        "pairs": len(PROXIES) * sum(map(len, TARGETS.values())),
        "draws": DRAWS,
        "overall": overall.to_dict("records"),
        "by_kind": summary.to_dict("records"),
    }
    write_text(RESULTS, json.dumps(content, indent=1) + "\n")
    print(pd.concat([overall.assign(kind="all"), summary]).to_string(index=False))


if __name__ == "__main__":
    main()
