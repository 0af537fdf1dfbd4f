"""Settings shared by all tests: one worker for each core, whole files to a worker."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded, and for every child process
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("nas", deadline=None, max_examples=25)  # the first torch call is slow
settings.load_profile("nas")

RAY = {"tests/nas/cluster/test_cluster.py", "tests/nas/measure/test_nodes.py"}
"""Files that start a Ray cluster on this machine: one after the other."""
LONG = "tests/test_docs.py"
"""Few and long tests: they begin, each in a worker, so that no worker waits for them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Send a file's tests to one worker, which makes the file's fixtures once."""
    root = Path(__file__).parents[1]
    files = {item: item.path.relative_to(root).as_posix() for item in items}
    for item, file in files.items():
        group = item.nodeid if file == LONG else "ray" if file in RAY else file
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: files[item] != LONG)
