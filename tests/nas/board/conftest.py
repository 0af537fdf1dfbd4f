"""Folders for trees of boards: in memory, as sysfs is, where the machine has such a place."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SHM = "/dev/shm"


def memory() -> str | None:
    """A folder in memory that may hold programs; None: the usual temporary folder."""
    usable = os.path.isdir(SHM) and os.access(SHM, os.W_OK)
    return SHM if usable and not os.statvfs(SHM).f_flag & os.ST_NOEXEC else None


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=memory(), prefix="board") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
