"""A module that hides one of our packages is named before anything of it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nas.clash import check_packages

ROOT = Path(__file__).parents[2]


def test_a_file_that_hides_a_package_is_named(tmp_path: Path) -> None:
    hiding = tmp_path / "predictors.py"
    hiding.write_text("raise SystemExit(7)")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import nas"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: nas comes with a package 'predictors'")
    assert str(hiding) in last


def test_ours_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "predictors").mkdir()  # a folder without __init__.py hides nothing
    monkeypatch.chdir(tmp_path)
    check_packages()
