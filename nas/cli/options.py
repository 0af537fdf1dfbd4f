"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option(help="Image folder, CIFAR or MNIST files; scikit-learn's digits without it."),
]
Resolution = Annotated[
    int | None, typer.Option(help="Side of the images in pixels; the data's own without it.")
]
Flip = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Whether a mirrored image is a valid image."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Rows = Annotated[Path, typer.Option(help="Measured rows (CSV or Parquet).")]
SpaceName = Annotated[str, typer.Option(help="Search space of the rows.")]
Quantity = Annotated[str, typer.Option(help="latency_ms or energy_mj.")]
Level = Annotated[int | None, typer.Option(help="Rows of this DVFS level alone.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
