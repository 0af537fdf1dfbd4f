"""What a newcomer does first: the tour and the how-to's examples, in order, in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import blocks

ROOT = Path(__file__).parents[1]
NARROW = 80  # columns


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in a fresh process that finds this checkout and nothing of the test's own state."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": str(NARROW)}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.slow
def test_the_tour_and_the_examples_run_in_order_in_a_fresh_folder(tmp_path: Path) -> None:
    n_commands = 0
    for document in ("README.md", "docs/howto.md"):
        for language, text in blocks(document):
            if language == "python":
                done = run([sys.executable, "-c", text], tmp_path)
                assert done.returncode == 0, f"{document}: {text}\n{done.stderr}"
                continue
            for line in text.splitlines():
                if not line.startswith("nas "):
                    continue
                done = run(["sh", "-c", f'"{sys.executable}" -m {line}'], tmp_path)
                n_commands += 1
                assert done.returncode == 0, f"{document}: {line}\n{done.stderr}"
                assert "Traceback" not in done.stderr
                assert "…" not in done.stdout  # nothing is cut
    assert n_commands > 12
    found = (tmp_path / "runs" / "small.html").read_text(encoding="utf-8")
    assert re.search(r"xavier-nx", found)
