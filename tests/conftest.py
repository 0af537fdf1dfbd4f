"""Settings shared by all tests: one worker for each core, whole files to a worker."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
"""Before torch is loaded, and for every child process; a forked one has no pool of threads left."""

gc.set_threshold(100_000, 50, 50)
"""The libraries are a million objects; to look for dead ones among them took 4 % of a run."""

settings.register_profile("nas", deadline=None, max_examples=25)  # the first torch call is slow
settings.load_profile("nas")

RAY = {"tests/nas/cluster/test_cluster.py", "tests/nas/measure/test_nodes.py"}
"""Files that start a Ray cluster on this machine: one after the other."""
FIRST = ("tests/nas/search/test_run.py", "tests/test_docs.py", "tests/test_quality.py")
"""Long ones begin, so that no worker waits for another at the end: one worker makes the digits
fixture, while the other runs the documents, which need none."""


def file_of(path: Path) -> str:
    return path.relative_to(Path(__file__).parents[1]).as_posix()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; xdist then hands out whole files in this order."""
    rank = {file: number for number, file in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(file_of(item.path), len(FIRST)))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """A test sees the same ones whatever its process ran before; torch is not loaded for it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _one_cluster_at_a_time(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    if file_of(request.path) not in RAY:
        yield
        return
    with FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield
