"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option(help="CIFAR-10 binary folder; digits without it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
