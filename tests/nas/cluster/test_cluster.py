"""A search on a cluster of three Ray nodes on this machine, with kills. Needs nas[ray]."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="a cluster: needs nas[ray]")

import ray
from ray.cluster_utils import Cluster

from nas.cluster.cluster import Cluster as UsedCluster
from nas.cluster.cluster import connect
from nas.search.folder import SCRATCH
from tests.nas.cluster import search_on_images
from tests.nas.conftest import RAY_HEAD
from tests.nas.search.test_run import comparable

ROOT = Path(__file__).parents[3]
PATIENCE_S = 240


@pytest.fixture(scope="module")
def cluster():
    """A head and two nodes with one core each, all of them processes on this machine."""
    made = Cluster(initialize_head=True, head_node_args=RAY_HEAD)
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def local(digits, tmp_path_factory):
    """The same search in one process."""
    out = tmp_path_factory.mktemp("local") / "run"
    search_on_images.search(digits.supernet, digits.rows, out)
    return comparable(out)


class Driver:
    """A search in a process of its own."""

    def __init__(self, digits, out, **settings) -> None:
        self.out, self.log = out, out.with_suffix(f".{time.monotonic_ns()}")
        arguments = [digits.supernet, digits.rows, out, json.dumps(settings)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.nas.cluster.search_on_images", *map(str, arguments)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def wait_for(self, n_evaluated: int) -> None:
        """Until so many subnets were evaluated."""
        deadline = time.monotonic() + PATIENCE_S
        while f"{n_evaluated} evaluated\n" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def finish(self) -> str:
        """Everything it said, once it ended well."""
        assert self.process.wait(PATIENCE_S) == 0, self.said
        return self.said

    @property
    def said(self) -> str:
        return self.log.read_text()


def workers(node) -> list[int]:
    """Processes on `node` that evaluate subnets."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == raylet and (b"WorkTrial" in title or b"Trainable" in title):
            found.append(int(folder.name))
    return found


def test_a_killed_worker_node_and_driver_change_nothing(cluster, digits, local, tmp_path):
    first = Driver(digits, tmp_path / "run", ray=cluster.address)
    first.wait_for(2)
    while "a worker died; " not in first.said:  # the first victims may have had nothing to do
        assert first.process.poll() is None, first.said
        for victim in [pid for node in cluster.list_all_nodes() for pid in workers(node)][:1]:
            os.kill(victim, signal.SIGKILL)
        time.sleep(0.5)
    first.wait_for(6)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    first.wait_for(9)
    first.process.kill()
    first.process.wait()
    cluster.add_node(num_cpus=1)
    kept = (first.out / "evaluations.jsonl").read_bytes()
    said = Driver(digits, first.out, ray=cluster.address, resume=True).finish()
    assert "Traceback" not in said
    assert comparable(first.out) == local
    assert (first.out / "evaluations.jsonl").read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert not (first.out / SCRATCH).exists()


@pytest.mark.slow
def test_many_kills_of_everything_change_nothing(cluster, digits, local, tmp_path):
    out = tmp_path / "run"
    for stop in (3, 8, 12):
        driver = Driver(digits, out, ray=cluster.address, resume=(out / "run.json").exists())
        driver.wait_for(stop)
        for node in cluster.list_all_nodes():
            for pid in workers(node)[:1]:
                os.kill(pid, signal.SIGKILL)
        driver.wait_for(stop + 1)
        driver.process.kill()
        driver.process.wait()
    # a search that began on the cluster may end without it
    Driver(digits, out, resume=True).finish()
    assert comparable(out) == local


@pytest.mark.slow
def test_without_order_every_subnet_is_another_one_and_slow_nodes_hold_up_nobody(
    cluster, digits, tmp_path
):
    first = Driver(digits, tmp_path / "run", ray=cluster.address, ray_async=True)
    first.wait_for(4)
    first.process.kill()
    first.process.wait()
    options = {"ray": cluster.address, "ray_async": True, "resume": True}
    said = Driver(digits, first.out, **options).finish()
    assert "asynchronous: what is bred depends on which node answers first" in said
    lines = (first.out / "evaluations.jsonl").read_text().splitlines()[1:]
    names = [json.loads(line)["subnet"] for line in lines]
    assert len(names) == len(set(names))
    assert {p["error_source"] for p in comparable(first.out)["points"]} == {"measured"}


def listening(root: int) -> list[str]:
    """Addresses, in the kernel's hexadecimal, on which `root` and its children take connections."""
    family, found = {root}, []
    numbers = sorted(int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    for number in numbers:  # a child has a higher number than its parent
        try:
            parent = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
            if parent in family or number == root:
                family.add(number)
                links = [os.readlink(file) for file in Path(f"/proc/{number}/fd").iterdir()]
                found += [link[8:-1] for link in links if link.startswith("socket:[")]
        except OSError:
            continue
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in found]


@pytest.mark.slow
def test_this_machine_alone_listens_on_loopback_alone():
    program = (
        "from nas.cluster.cluster import connect, ray\n"
        "connect('local')\n"
        "print(ray.get(ray.remote(lambda: 'up').remote()), flush=True)\n"
        "input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "up\n"
        found = listening(process.pid)
        process.communicate("\n")
    assert len(found) >= 5
    assert set(found) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_only_this_machine_alone_is_started_on_loopback(monkeypatch):
    """Ray asks for its own address when it starts; another cluster is not touched."""
    seen = []
    monkeypatch.setattr("ray.init", lambda **given: seen.append(ray.util.get_node_ip_address()))
    monkeypatch.setattr("ray._private.worker._global_node", None)
    before = ray.util.get_node_ip_address()
    for address in ("local", "auto"):
        connect(address)
    assert seen == ["127.0.0.1", before]


def test_a_tune_that_ends_slowly_leaves_no_folder(tmp_path, monkeypatch):
    """It writes to the last, and ends once Ray is away."""
    scratch, away = tmp_path / SCRATCH, threading.Event()

    def shutdown():
        monkeypatch.setattr("nas.cluster.cluster.CLOSE_S", PATIENCE_S)
        away.set()

    def write():
        away.wait()
        time.sleep(0.3)
        scratch.mkdir()

    monkeypatch.setattr("nas.cluster.cluster.CLOSE_S", 0.01)
    monkeypatch.setattr("ray.shutdown", shutdown)
    used = UsedCluster("local", str, scratch)
    used._thread = threading.Thread(target=write)
    used._thread.start()
    used.__exit__(None, None, None)
    used._thread.join()
    assert not scratch.exists()


def test_no_cluster_is_one_line(digits, tmp_path):
    driver = Driver(digits, tmp_path / "run", ray="127.0.0.1:1")
    assert driver.process.wait(PATIENCE_S) == 1
    assert "`ray` 127.0.0.1:1: no cluster answers" in driver.said
    assert "Traceback" not in driver.said
    assert not (tmp_path / "run").exists()
