"""Tables of rows and of accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.measure.power_log import read_power_log
from nas.measure.table import Table
from nas.zoo.published import read_entry
from predictors import read_accuracy_table, read_ofa_lut, read_rows
from supernets.checkpoint import write_tensors
from tests.formats.kind import CELLS, DIGITS, GENES, REPO, Format, rng, text
from tests.predictors.synthetic import accuracy_table

TEGRASTATS = "".join(
    f"11-29-2026 12:00:0{i} RAM 2673/7765MB (lfb 118x4MB) SWAP 0/3883MB (cached 0MB) "
    f"CPU [1%@1190,off] VDD_IN 36{i}1mW/3611mW VDD_CPU_GPU_CV 1331mW/1180mW\n"
    for i in range(5)
)
LUT = "Conv-input:224x224x3-output:112x112x16: {mean: 1.5, std: 0.25, count: 3}\n"


def rows_csv(path: Path) -> None:
    lines = ["space,subnet,heads,device,level,latency_ms,energy_mj"]
    for i, subnet in enumerate(DIGITS.subnets(GENES[:6])):
        lines.append(f"{DIGITS.name},{subnet},0+3,host,0,{1 + i / 7:.4f},{2 + i}")
    path.write_text("\n".join(lines) + "\n")


def rows_parquet(path: Path) -> None:
    import pandas as pd

    rows_csv(path.with_suffix(".csv"))
    pd.read_csv(path.with_suffix(".csv")).to_parquet(path)


def errors_csv(path: Path) -> None:
    lines = [f"{s},{9 + i}.5" for i, s in enumerate(CELLS.subnets(CELLS.sample(6, rng())))]
    path.write_text("\n".join(["subnet,top1_error_pct", *lines]) + "\n")


def accuracies(path: Path) -> None:
    table = accuracy_table(DIGITS, 4, thresholds=(0.5,))
    tensors = {
        "top1_error_pct": torch.tensor(table.top1_error_pct),
        "exit_rate": torch.tensor(table.exit_rate).half(),
    }
    described = {
        "schema": "nas.accuracy/1",
        "space": DIGITS.name,
        "subnets": [str(s) for s in DIGITS.subnets(table.genes)],
        "n_exits": DIGITS.n_exits,
        "thresholds": [0.5],
        "source": "measured",
        "split": "validation",
        "n_images": 400,
        "supernet_sha256": "weights",
        "temperatures": [1.0, 1.1, 1.2, 1.3],
    }
    write_tensors(path, tensors, described)


def read_log(path: Path) -> Any:
    log = read_power_log(path)
    assert np.isfinite(log.watts).all()
    return log.at_s.tolist(), log.watts.tolist()


FORMATS = {
    "rows": Format("rows.csv", rows_csv, lambda p: read_rows(p, DIGITS).to_csv(), 120),
    "rows in Parquet": Format(
        "rows.parquet", rows_parquet, lambda p: read_rows(p, DIGITS).to_csv(), 100
    ),
    "resumed rows": Format("own.csv", rows_csv, lambda p: Table(p).rows, 130),
    "accuracies": Format(
        "accuracy.safetensors",
        accuracies,
        lambda p: read_accuracy_table(p, DIGITS).digest,
        130,
        vouched=b"content_sha256",
    ),
    "errors": Format("errors.csv", errors_csv, lambda p: read_accuracy_table(p, CELLS).digest, 60),
    "look-up table": Format("9_lookup_table.yaml", text(LUT), read_ofa_lut),
    "published accuracies": Format(
        "entry.json",
        lambda p: p.write_bytes((REPO / "supernets/zoo/ofa-mobilenetv3/entry.json").read_bytes()),
        lambda p: read_entry(p.parent).model_dump(),
    ),
    "power log": Format("tegrastats.log", text(TEGRASTATS), read_log, 130),
}
