"""Settings shared by all tests: one worker for each core, whole files to a worker."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
"""Before torch is loaded, and for every child process; a forked one has no pool of threads left."""

settings.register_profile("nas", deadline=None, max_examples=25)  # the first torch call is slow
settings.load_profile("nas")

RAY = {"tests/nas/cluster/test_cluster.py", "tests/nas/measure/test_nodes.py"}
"""Files that start a Ray cluster on this machine: one after the other."""
FIRST = ("tests/nas/search/test_run.py", "tests/test_docs.py", "tests/test_quality.py")
"""Long ones begin, so that no worker waits for another at the end: one worker makes the digits
fixture, while the other runs the documents and mypy, which need none."""
APART = set(FIRST[1:])
"""Files without fixtures of their own: each of their tests goes to any worker."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Send a file's tests to one worker, which makes the file's fixtures once."""
    root = Path(__file__).parents[1]
    files = {item: item.path.relative_to(root).as_posix() for item in items}
    for item, file in files.items():
        group = item.nodeid if file in APART else "ray" if file in RAY else file
        item.add_marker(pytest.mark.xdist_group(group))
    rank = {file: number for number, file in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(files[item], len(FIRST)))
