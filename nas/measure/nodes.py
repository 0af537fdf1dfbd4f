"""Jobs of `nas measure` as trials, on the nodes of a Ray cluster that were started to measure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from nas.cluster.cluster import MEASURE, Cluster
from nas.measure.jobs import Job, row_key
from search_spaces import Row


def run_on_nodes(
    address: str,
    jobs: Sequence[Job],
    *,
    threads: int,
    scratch: Path,
    tell: Callable[[str], None] = print,
) -> Generator[tuple[Job, Row]]:
    """Jobs with their rows, in the order in which the nodes deliver them.

    A unit of the resource `measure` runs one program at a time, on `threads` cores, so that nothing
    of ours disturbs it. NoPlaceError: no node has that. `scratch` is a folder for Ray Tune.
    """
    if not jobs:
        return
    named = {" ".join(filter(None, row_key(job.about))): job for job in jobs}
    needs = {"CPU": threads, MEASURE: 1}
    with Cluster(address, lambda name: named[name].run(), scratch, tell, needs=needs) as cluster:
        tell(f"Ray: measuring on {cluster.describe()}")
        for name, row in cluster(list(named)):
            yield named[name], row
