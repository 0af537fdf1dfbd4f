"""`nas measure --of`, and what it leaves in the result that it measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.nas.conftest import Result, nas

QUANTITIES = ("latency_ms", "latency_worst_ms", "energy_mj")


def measure(path: Path, out: Path, *more: object) -> Result:
    return nas("measure", "--of", path, "--out", out, *more)


def content(path: Path) -> dict[str, Any]:
    """What a search found, without the checksum that would tell of a change."""
    found: dict[str, Any] = json.loads((path / "pareto.json").read_text())
    found.pop("content_sha256", None)
    return found
