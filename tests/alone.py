"""Python as a board has it: a process in which most packages cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BLOCKING = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if {refused}:
            raise ImportError(name + " is not on the board")

sys.meta_path.insert(0, Blocked())
"""


def run_alone(code: str, refused: str, folder: Path, *options: str) -> str:
    """What `code` prints in `folder`; `refused` says of a package `top` that it is not there."""
    script = BLOCKING.replace("{refused}", refused) + code
    command = [sys.executable, *options, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
