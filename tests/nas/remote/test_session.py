"""Measuring over ssh: the system's client against a server on loopback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas.remote.session import Plan, measure_remote
from nas.remote.ssh import Remote
from search_spaces import InputError
from tests.nas.remote.echo import QUICK, echo
from tests.nas.remote.following import following

asyncssh = pytest.importorskip("asyncssh")
from tests.nas.board.fake_board import build  # noqa: E402
from tests.nas.remote.ssh_server import SshServer  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no `ssh` on this machine")


def test_rows_come_over_ssh(server: SshServer, board: Remote) -> None:
    said: list[dict[str, Any]] = []
    rows = list(measure_remote(board, echo(3), say=said.append))
    assert [row["subnet"] for row in rows] == [0, 1, 2]
    assert all(row["latency_ms"] > 0 and row["source"] == "measured" for row in rows)
    assert "found" in said[0]


def test_a_dropped_connection_loses_nothing(server: SshServer, board: Remote) -> None:
    said: list[dict[str, Any]] = []
    rows = []
    for row in measure_remote(board, echo(12, warmup_s=0.2), say=said.append):
        rows.append(row)
        if len(rows) in (2, 5):
            server.drop()
    assert sorted(row["subnet"] for row in rows) == list(range(12))
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
    rows = measure_remote(board, echo(8, warmup_s=0.3), attempts=2)
    next(rows)
    server.stop()
    server.drop()
    with pytest.raises(InputError, match=r"gave up on board: .*(refused|closed|ended|reset)"):
        list(rows)
    server.start()
    assert len(list(measure_remote(board, echo(8, warmup_s=0.3)))) == 8


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

    def device(*arguments: Any, **named: Any) -> RemoteDevice:
        return RemoteDevice(*arguments, **{**named, "settings": quick})

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
        assert "at the clocks found, not at their level's: 3 rows" in again.err
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
    said: list[dict[str, Any]] = []
    assert not list(measure_remote(board, Plan([], energy="none"), attempts=1, say=said.append))
    found = next(message["found"] for message in said if "found" in message)
    assert found["python"] == sys.version.split()[0]
    assert found["machine"]
