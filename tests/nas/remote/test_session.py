"""Measuring over ssh: the system's client against a server on loopback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas.remote import session as remote_module
from nas.remote.session import Plan, discover_remote, measure_remote
from nas.remote.ssh import Remote, pack, ship
from search_spaces import InputError

asyncssh = pytest.importorskip("asyncssh")
from tests.nas.board.fake_board import build, state  # noqa: E402
from tests.nas.remote.ssh_server import SshServer  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no `ssh` on this machine")
QUICK = {"warmup_s": 0.02, "seconds": 0.05, "drift": 10.0}
ECHO = [sys.executable, "-uc", "while 1: input(); print()"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    made = SshServer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def board(server: SshServer, root: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A board whose files are the tree at `root`: bare, unless the test builds one."""
    monkeypatch.setattr(remote_module, "FIRST_WAIT_S", 0.1)
    (root / "var/lib").mkdir(parents=True)
    python = server.home.parent / "python3"
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\" --root '{root}'\n")
    python.chmod(0o755)
    return Remote("board", python=str(python), options=["-F", str(server.config)])


def echo(n: int, **settings: Any) -> Plan:
    """A plan of `n` tasks that differ in nothing but an argument that is ignored."""
    tasks = [
        {"runner": "command", "command": [*ECHO, str(i)], "row": {"subnet": i}} for i in range(n)
    ]
    return Plan(tasks, settings={**QUICK, **settings})


def test_rows_come_over_ssh(server: SshServer, board: Remote) -> None:
    said: list[dict[str, Any]] = []
    rows = list(measure_remote(board, echo(3), say=said.append))
    assert [row["subnet"] for row in rows] == [0, 1, 2]
    assert all(row["latency_ms"] > 0 and row["source"] == "measured" for row in rows)
    assert "found" in said[0]


def test_what_is_shipped_travels_once_and_leaves_nothing(server: SshServer, board: Remote) -> None:
    archive, folders = pack({"a": b"1"}), server.home / ".cache" / "nas-board"
    first = ship(board, archive)
    stamp = (Path(first) / "files" / "a").stat().st_mtime_ns
    assert ship(board, archive) == first
    assert (Path(first) / "files" / "a").stat().st_mtime_ns == stamp
    assert sorted(path.name for path in Path(first).iterdir()) == ["board", "files"]
    before = set(folders.iterdir())
    list(measure_remote(board, echo(1)))
    assert set(folders.iterdir()) == before
    assert pack({"a": b"1", "b": b"2"}) == pack({"b": b"2", "a": b"1"})


def test_a_dropped_connection_loses_nothing(server: SshServer, board: Remote) -> None:
    said: list[dict[str, Any]] = []
    rows = []
    for row in measure_remote(board, echo(8, warmup_s=0.2), say=said.append):
        rows.append(row)
        if len(rows) in (2, 5):
            server.drop()
    assert sorted(row["subnet"] for row in rows) == list(range(8))
    dropped = [message for message in said if "dropped" in message]
    assert len(dropped) >= 2
    assert sum("board.bench.agent" in command for command in server.commands) >= 3
    stamps = {row["subnet"]: row["measured_at"] for row in rows}
    assert list(stamps.values()) == sorted(stamps.values())


def test_the_board_goes_on_while_the_network_is_away(server: SshServer, board: Remote) -> None:
    """The network is cut for as long as the rest of the plan takes."""
    rows = []

    def cut() -> None:
        server.stop()
        server.drop()
        time.sleep(1.5)
        server.start()

    cutter = threading.Thread(target=cut)
    for row in measure_remote(board, echo(5, warmup_s=0.15), attempts=30):
        rows.append(row)
        if len(rows) == 1:
            cutter.start()
            time.sleep(0.3)
    cutter.join()
    assert sorted(row["subnet"] for row in rows) == list(range(5))


def test_a_network_that_stays_away(server: SshServer, board: Remote) -> None:
    rows = measure_remote(board, echo(3, warmup_s=0.3), attempts=2)
    next(rows)
    server.stop()
    server.drop()
    with pytest.raises(InputError, match=r"gave up on board: .*(refused|closed|ended|reset)"):
        list(rows)
    server.start()
    assert len(list(measure_remote(board, echo(3, warmup_s=0.3)))) == 3


def test_a_wrong_host_key_is_refused(server: SshServer, board: Remote) -> None:
    server.trust(asyncssh.generate_private_key("ssh-ed25519"))
    with pytest.raises(
        InputError, match=r"board: Host key verification failed; .*`ssh board` and check"
    ):
        list(measure_remote(board, echo(1)))
    assert server.commands == []


def test_an_unknown_host_key_is_refused(server: SshServer, board: Remote, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    with pytest.raises(InputError, match="Host key verification failed"):
        list(measure_remote(board, echo(1)))
    assert server.commands == []


def test_a_key_that_is_not_accepted(board: Remote, tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "id"))
    with pytest.raises(
        InputError, match=r"Permission denied; no key was accepted: `ssh board` must"
    ):
        list(measure_remote(board, echo(1)))


def test_paths_with_spaces_quotes_and_commands(server: SshServer, board: Remote) -> None:
    """Nothing is read by the board's shell but as the one word that it is."""
    strange = 'it\'s "a" folder; touch made; $(touch made) `touch made` & *'
    name = "a b'c\"; touch made.py"
    code = b"def make(task, folder):\n    return lambda: None, lambda: None\n"
    plan = Plan([{"runner": "module", "files": [name]}], {name: code}, settings=QUICK)
    rows = list(measure_remote(replace(board, folder=strange), plan))
    assert len(rows) == 1
    assert [path.name for path in server.home.iterdir()] == [strange]


@contextmanager
def following(root: Path) -> Iterator[None]:
    """Clocks of a tree of files follow their limits, as hardware does."""
    stop = threading.Event()
    limits = [*(root / "sys").rglob("*min_freq")]

    def follow() -> None:
        while not stop.wait(0.002):
            for low in limits:
                now = low.with_name(low.name.replace("min_freq", "cur_freq"))
                if now.exists() and low.read_text() != now.read_text():
                    aside = now.with_name("aside")
                    aside.write_text(low.read_text() or "0")
                    aside.replace(now)

    thread = threading.Thread(target=follow)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_programs_on_a_xavier_nx(board: Remote, root: Path, tmp_path: Path) -> None:
    """From a space and a profile to rows of the table; the board's files are a tree."""
    pytest.importorskip("onnxruntime")
    from nas.devices import get_device
    from nas.remote.programs import RemoteSettings, measure_programs
    from predictors import read_rows
    from search_spaces import get_space

    build("xavier-nx-jp5", root)
    before = state(root)
    space, device = get_space("resnet-digits"), get_device("xavier-nx", precision="fp32")
    subnet = space.subnet(space.smallest)
    all_heads = tuple(range(space.n_exits + 1))
    jobs = [(subnet, heads, level, 0) for heads in ((0,), all_heads) for level in (0, 14)]
    jobs += [(*jobs[0][:3], 1)]
    quick = {**QUICK, "energy_seconds": 0.2, "idle_s": 0.05}
    how = RemoteSettings(settings=quick, clocks="pin", runner="onnxruntime")
    how = replace(how, providers=["CPUExecutionProvider"])
    said: list[dict[str, Any]] = []
    with following(root):
        rows = list(measure_programs(board, device, space, jobs, how, say=said.append))
    clocks = [(row["level"], row["gpu_mhz"], row["cpu_mhz"], row["emc_mhz"]) for row in rows]
    slow, fast = (0, 114.75, 1420.8, 1866), (14, 1109.25, 1420.8, 1866)
    assert clocks == [slow, fast, slow, fast, slow]
    assert [row["repeat"] for row in rows] == [0, 0, 0, 0, 1]
    for row in rows:
        assert (row["pinned"], row["power_mode"]) == ("cpu+emc+gpu", "MODE_20W_6CORE")
        assert row["power_w"] == pytest.approx(5)
        assert 0 < row["latency_ms"] < 1000
    assert said[0]["found"]["model"].startswith("NVIDIA Jetson Xavier NX")
    assert state(root) == before
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    assert len(read_rows(tmp_path / "rows.csv", space)) == 5


def test_the_table_of_a_board_goes_on_where_it_stopped(
    board: Remote, root: Path, tmp_path: Path
) -> None:
    """What `nas measure --remote` does: jobs in random order, each row kept at once."""
    pytest.importorskip("onnxruntime")
    from nas.devices import AnalyticDevice, load_profile
    from nas.measure import measure_rows, program_jobs, programs
    from nas.measure.table import Table
    from nas.remote.device import RemoteDevice
    from search_spaces import get_space

    build("raspberry-pi-5", root)
    model = AnalyticDevice(load_profile("raspberry-pi-5"))
    quick = {**QUICK, "energy_seconds": 0.2, "idle_s": 0.05}
    device = RemoteDevice(board, model, settings=quick)
    assert (device.backend, device.source) == ("onnxruntime", "measured")
    space, top = get_space("resnet-digits"), len(device.levels) - 1
    jobs = program_jobs([device], space, programs(space, 1, 0)[:2], levels=[0, top])
    with following(root):
        first = measure_rows(jobs, Table(tmp_path / "rows.csv"))
        assert next(first)[0] == 1
        first.close()
        rest = [row for _, row in measure_rows(jobs, Table(tmp_path / "rows.csv"))]
    assert len(rest) == 3
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert set(rows["level"]) == {0, top}
    assert set(rows["source"]) == {"measured"}
    assert not rows.duplicated(["subnet", "heads", "level"]).any()


@pytest.mark.parametrize("layout", ["xavier-nx-jp5", "bare"])
def test_a_result_is_verified_at_the_clocks_of_its_points(
    board: Remote, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """The whole of `nas measure --of --remote`; a point has a memory clock of its own."""
    pytest.importorskip("onnxruntime")
    from nas.devices import AnalyticDevice, load_profile
    from nas.remote.device import RemoteDevice
    from tests.nas.conftest import nas

    if layout != "bare":
        build(layout, root)
    quick = {**QUICK, "energy_seconds": 0.2, "idle_s": 0.05}
    device = partial(RemoteDevice, settings=quick)
    monkeypatch.setattr("nas.remote.device.RemoteDevice", device)
    monkeypatch.setattr("nas.remote.ssh.Remote", lambda target, sudo: board)
    model = AnalyticDevice(load_profile("xavier-nx"), backend="ncnn")
    pareto, out = tmp_path / "pareto.json", tmp_path / "rows.csv"
    result(model, pareto)
    with following(root):
        command = ("measure", "--of", pareto, "--remote", "me@board", "--out", out)
        refused = nas(*command)
        assert (refused.code, "choose one with --backend" in refused.err) == (1, True)
        done = nas(*command, "--backend", "onnxruntime")
    if layout == "bare":
        assert done.code == 1
        assert "ran no program at the clocks of its level" in done.err
        assert "verified_cost" not in pareto.read_text()
        plan = tmp_path / "plan.csv"  # as a plan the same rows are of use, at their own clocks
        about = ["space", "subnet", "heads", "device", "level", "precision"]
        rows = pd.read_csv(out, dtype=str)[about].drop_duplicates()
        rows.assign(backend="ncnn").to_csv(plan, index=False)
        again = nas("measure", "--of", plan, *command[3:], "--backend", "onnxruntime")
        assert again.code == 0, again.err
        assert "3 rows were measured at the clocks found, not at their level's" in again.err
        return
    assert done.code == 0, done.err
    assert "is for backend ncnn, measured with onnxruntime" in done.err
    rows = pd.read_csv(out, dtype={"heads": str})
    level = model.levels[3]
    clocks = set(zip(rows["cpu_mhz"], rows["emc_mhz"], strict=True))
    assert clocks == {(level.cpu_mhz, level.emc_mhz), (level.cpu_mhz, 800.0)}
    assert len(rows) == 3  # two of the point with an exit, one of the other
    by_heads = rows.set_index(["heads", "emc_mhz"])["latency_ms"]
    for point in json.loads(pareto.read_text())["points"]:
        cost, after = point["verified_cost"], point["exits"]["after"]
        every = by_heads["0+3" if after else "3", point["emc_mhz"]]
        worst_ms = every + len(after) * model.decision_ms
        assert cost["latency_worst_ms"] == pytest.approx(worst_ms, rel=1e-5)
        assert (cost["source"], cost["energy_mj"] > 0) == ("measured", True)
    assert "Costs, verified" in (tmp_path / "report.html").read_text()


def result(model: Any, path: Path) -> None:
    """A pareto.json with two points of one level: one has an exit, and a slower memory clock."""
    from search_spaces import get_space

    space = get_space("resnet-digits")
    names = ("name", "processor", "backend", "precision", "batch", "power_mode")
    common = {
        "level": 3,
        "subnet": str(space.subnet(space.smallest)),
        "cpu_mhz": model.levels[3].cpu_mhz,
        "latency_source": "predicted (simulated)",
        "energy_source": "predicted (simulated)",
        "latency_ms": 1.0,
        "latency_interval_ms": [0.5, 2.0],
        "latency_worst_ms": 1.0,
        "energy_mj": 1.0,
        "top1_error_pct": 10.0,
        "error_source": "measured",
        "macs": 1,
        "params": 1,
    }
    plain = {"exits": {"after": [], "thresholds": []}, "exit_rates": [0.0, 0.0, 0.0, 1.0]}
    early = {"exits": {"after": [0], "thresholds": [0.5]}, "exit_rates": [0.5, 0.0, 0.0, 0.5]}
    content = {
        "schema": "nas.pareto/1",
        "space": space.name,
        "device": {name: getattr(model, name) for name in names},
        "objectives": [{"name": "top1_error_pct"}, {"name": "latency_ms"}],
        "levels": [level.to_dict() for level in model.levels],
        "supernet": None,
        "predictors": {},
        "front": [],
        "baselines": [],
        "points": [
            {"id": "a", "emc_mhz": model.levels[3].emc_mhz, **common, **plain},
            {"id": "b", "emc_mhz": 800.0, **common, **early},
        ],
    }
    path.write_text(json.dumps(content))


def test_a_board_measures_with_two_backends_alone(board: Remote) -> None:
    from nas.devices import AnalyticDevice, load_profile
    from nas.remote.device import RemoteDevice

    model = AnalyticDevice(load_profile("nano"))
    with pytest.raises(InputError, match="onnxruntime or tensorrt, got `backend` ncnn"):
        RemoteDevice(board, model, backend="ncnn")


def test_a_task_that_fails_is_named_after_the_other_rows(board: Remote) -> None:
    good = echo(2)
    bad = {"runner": "command", "command": ["/no/such"]}
    rows = measure_remote(board, replace(good, tasks=[bad, *good.tasks]))
    assert [next(rows)["subnet"], next(rows)["subnet"]] == [0, 1]
    with pytest.raises(InputError, match=r"1 of 3 rows failed on the board: cannot start /no/such"):
        next(rows)


def test_stopping_here_stops_the_board(server: SshServer, board: Remote) -> None:
    rows = measure_remote(board, echo(50, warmup_s=0.2))
    next(rows)
    rows.close()
    end = time.monotonic() + 10
    while any(child.poll() is None for child in server._children):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_as_root_through_sudo(server: SshServer, board: Remote, tmp_path: Path) -> None:
    sudo = tmp_path / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift && echo "$@" >> "$0.log"\nexec "$@"\n')
    sudo.chmod(0o755)
    assert len(list(measure_remote(replace(board, sudo=True), echo(1)))) == 1
    log = (tmp_path / "bin" / "sudo.log").read_text().splitlines()
    assert len(log) == 1  # shipping needs no root
    assert log[0].startswith("env PYTHONPATH=")


def test_an_agent_that_dies_is_started_again(server: SshServer, board: Remote) -> None:
    """As by the board's out-of-memory killer: the next one goes on, and nothing is lost."""
    rows = []
    for row in measure_remote(board, echo(4, warmup_s=0.3)):
        rows.append(row["subnet"])
        if len(rows) == 2:
            child = server._children[-1]
            subprocess.run(["pkill", "-KILL", "-P", str(child.pid)], check=False)
            child.kill()
    assert sorted(rows) == [0, 1, 2, 3]


def test_what_a_board_has(board: Remote) -> None:
    found = discover_remote(board)
    assert found["python"] == sys.version.split()[0]
    assert found["machine"]


@pytest.mark.parametrize("target", ["", "-oProxyCommand=touch made"])
def test_a_target_is_no_option(target: str) -> None:
    with pytest.raises(InputError, match="the board must be USER@HOST"):
        Remote(target)


def test_an_old_python_is_named(board: Remote, tmp_path: Path) -> None:
    """The script that is sent sees the version of Ubuntu 18.04, which JetPack 4 is built on."""
    old = tmp_path / "old python"
    patched = (
        "import sys; sys.version_info = (3, 6, 9); c = sys.argv[2]; del sys.argv[1:3]; exec(c)"
    )
    old.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{patched}' \"$@\"\n")
    old.chmod(0o755)
    with pytest.raises(InputError, match=r"board: nas: the board has Python 3.6, it needs 3.8"):
        list(measure_remote(replace(board, python=str(old)), echo(1)))


def test_no_python_at_all(board: Remote) -> None:
    # the server of the test may close before it has read what the shell said
    said = r"board: (.*python9: .*not found|ssh ended with code 127)"
    with pytest.raises(InputError, match=said):
        list(measure_remote(replace(board, python="python9"), echo(1)))
