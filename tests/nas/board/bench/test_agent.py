"""The agent as a process: plans, rows, restarts, signals, kills; and that it ships alone."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.board.bench import agent as agent_module
from tests.alone import run_alone
from tests.nas.board.control.test_clocks import as_nobody
from tests.nas.board.fake_board import NVPMODEL, FakeKernel, build, state
from tests.nas.conftest import in_process

REPO = Path(__file__).parents[4]
BOARD = REPO / "nas" / "board"
FILES = sorted(BOARD.rglob("*.py"))
QUICK = {
    "warmup_s": 0.02,
    "seconds": 0.05,
    "energy_seconds": 0.2,
    "idle_s": 0.05,
    "sample_s": 0.005,
}
LONG = {**QUICK, "energy_seconds": 60}
ECHO = [sys.executable, "-uc", "while 1: input(); import time; time.sleep(.001); print()"]
ON_FAKE = """
import sys
from nas.board.bench import agent
from tests.nas.board.fake_board import FakeKernel
sys.exit(agent.main(sys.argv[2:], fs=FakeKernel(sys.argv[1])))
"""
IMPORT_ALL = """
import board, importlib
for name in {names}:
    importlib.import_module("board." + name)
"""


def task(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "runner": "command", "command": ECHO, **more}


def plan(tasks: list[dict[str, Any]], **head: Any) -> bytes:
    lines = [{"plan": {"settings": QUICK, **head}}, *({"task": t} for t in tasks), {"end": True}]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class Agent:
    """A running agent on a fake board."""

    def __init__(self, root: Path, lines: bytes, *arguments: str) -> None:
        rows = ("--rows", str(root / "rows.jsonl"), *arguments)
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_FAKE, str(root), *rows],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.send(lines)

    def send(self, lines: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(lines)
        self.process.stdin.flush()

    def messages(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        yield from map(json.loads, self.process.stdout)

    def until(self, *names: str) -> list[dict[str, Any]]:
        """Messages up to the first that has one of the names."""
        found = []
        for message in self.messages():
            found.append(message)
            if set(names) & set(message):
                return found
        raise AssertionError(f"no {names} in {found}")

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(20)
        self.process.stdout.close()
        return code


@contextmanager
def running(root: Path, lines: bytes, *arguments: str) -> Iterator[Agent]:
    agent = Agent(root, lines, *arguments)
    try:
        yield agent
    finally:
        if agent.process.poll() is None:
            agent.process.kill()
        agent.process.wait()


def rows_of(messages: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {m["row"]["id"]: m["row"] for m in messages if "row" in m}


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def pinned(root: Path) -> bool:
    gpu = root / "sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
    return (gpu / "min_freq").read_text().strip() == (gpu / "max_freq").read_text().strip()


def test_a_plan_on_a_xavier(root: Path) -> None:
    build("xavier-nx-jp5", root)
    before = state(root)
    railgate = "/sys/devices/17000000.gv11b/railgate_enable"
    clocks = {"cpu_mhz": 1420.8, "emc_mhz": 1866}
    tasks = [
        task(f"t{mhz}", mode="MODE_20W_6CORE", clocks={"gpu_mhz": mhz, **clocks})
        for mhz in (510, 905.25)
    ]
    with running(
        root,
        plan(
            [*tasks, task("bad", clocks={"gpu_mhz": 7})],
            board={"sysfs": {"gpu_railgate": railgate}},
        ),
    ) as agent:
        messages = agent.until("done")
        assert agent.end() == 0
    rows = rows_of(messages)
    assert [row["gpu_mhz"] for row in rows.values()] == [510, 905.25]
    for row in rows.values():
        assert (row["cpu_mhz"], row["emc_mhz"], row["source"]) == (1420.8, 1866, "measured")
        assert row["power_w"] == pytest.approx(5, rel=0.01)
        assert row["pinned"] == ["cpu", "emc", "gpu"]
    errors = [m for m in messages if "error" in m]
    assert [m["id"] for m in errors] == ["bad"]
    assert "7 MHz is not a point" in errors[0]["error"]
    assert messages[-1] == {"done": 2, "of": 3}
    assert state(root) == before
    kept = [json.loads(line) for line in (root / "rows.jsonl").read_text().splitlines()]
    assert rows_of(kept) == rows


@pytest.mark.parametrize("policy", ["auto", "pin"])
def test_without_root_it_measures_at_the_clocks_found_and_says_so(
    policy: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tree = build("xavier-nx-jp5", root)
    before, home = state(root), root / "home"
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("HOME", str(home))
    (root / "sleep.py").write_text(
        "import time\ndef make(task, folder):\n    return lambda: time.sleep(.001), lambda: None\n"
    )
    asked = {"id": "a", "runner": "module", "files": ["sleep.py"], "clocks": {"gpu_mhz": 510}}
    asked_mode = {**asked, "id": "b", "mode": "MODE_10W_2CORE"}
    (root / "plan").write_bytes(plan([asked, asked_mode, {**asked, "id": "c"}], clocks=policy))
    files = ["--plan", str(root / "plan"), "--folder", str(root), "--rows", str(home / "rows")]
    with as_nobody(tree):
        assert agent_module.main(files, fs=FakeKernel(root)) == 0
    messages = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    words = r"cannot write 510000000 to /sys/.*_freq: permission denied \(mode 0"
    if policy == "auto":
        row = rows_of(messages)["a"]
        assert (row["pinned"], row["gpu_mhz"]) == ([], 114.75)
        assert row["power_w"] == pytest.approx(5, rel=0.01)
        assert re.match(f"measured at the clocks found: {words}", row["notes"][0])
        assert "nvpmodel -m 3` ended with code" in rows_of(messages)["b"]["notes"][0]
        assert set(rows_of(messages)) == {"a", "b", "c"}
    else:
        assert re.match(words, next(m["error"] for m in messages if "error" in m))
    assert state(root) == before


def test_a_sensor_is_asked_for_and_cannot_be_read(root: Path) -> None:
    build("raspberry-pi-4", root)
    with running(root, plan([task("a")], energy="required")) as agent:
        assert "no power sensor" in agent.until("fatal")[-1]["fatal"]
        assert agent.end() == 1
    with running(root, plan([task("a")])) as agent:
        row = rows_of(agent.until("done"))["a"]
    assert "energy_mj" not in row
    assert row["notes"][0].startswith("energy is not measured: no power sensor")


def test_this_machine(tmp_path: Path) -> None:
    """Whatever it is: latency at the present clocks, and the row says what it could not do."""
    (tmp_path / "plan").write_bytes(plan([task("a", clocks={"dla_mhz": 700})]))
    arguments = ["--plan", str(tmp_path / "plan"), "--rows", str(tmp_path / "rows")]
    arguments += ["--journal", str(tmp_path / "journal")]
    done = subprocess.run(
        [sys.executable, "-m", "board.bench.agent", *arguments],
        cwd=BOARD.parent,
        capture_output=True,
        check=True,
    )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    row = rows_of(messages)["a"]
    assert row["latency_ms"] > 1
    assert row["pinned"] == []
    words = "measured at the clocks found: dla_mhz = 700 was asked, but this board has no dla clock"
    assert row["notes"][0].startswith(words)
    assert ("energy_mj" in row) != any("energy is not measured" in note for note in row["notes"])
    assert messages[0]["found"]["machine"] == os.uname().machine


def test_a_sensor_that_is_switched_on_stays_on_between_tasks(root: Path) -> None:
    build("odroid-xu3", root)
    before = state(root)
    tasks = [task(str(mhz), clocks={"cpu_mhz": mhz}) for mhz in (1000, 1800, 800)]
    quiet = {**QUICK, "energy_seconds": 0.1}
    with running(root, plan(tasks, settings=quiet, energy="required")) as agent:
        rows = rows_of(agent.until("done"))
        assert agent.end() == 0
    assert [row["power_w"] for row in rows.values()] == pytest.approx([3, 3, 3])
    assert state(root) == before


def test_what_is_measured_is_not_measured_again(root: Path) -> None:
    build("raspberry-pi-4", root)
    with running(root, plan([task("a"), task("b")])) as agent:
        agent.until("row")
        agent.process.kill()
    with (root / "rows.jsonl").open("ab") as file:
        file.write(b'{"row": {"id": "b", "lat')  # torn by the kill
    first = rows_of([json.loads((root / "rows.jsonl").read_bytes().splitlines()[0])])
    with running(root, plan([task("a"), task("b")])) as agent:
        rows = rows_of(agent.until("done"))
        agent.send(b'{"forget": true}\n')
        assert agent.end() == 0
    assert rows["a"] == first["a"]
    assert set(rows) == {"a", "b"}
    assert not (root / "rows.jsonl").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_restores_at_once(number: signal.Signals, root: Path) -> None:
    tree = build("xavier-nx-jp5", root)
    before = state(root)
    lines = plan([task("a", clocks={"gpu_mhz": 510}, mode="MODE_10W_2CORE")], settings=LONG)
    with running(root, lines) as agent:
        wait_for(lambda: pinned(root))
        time.sleep(0.3)
        again = f"set -e; kill -{int(number)} $PPID"  # a second one, while the mode is put back
        tree.program("nvpmodel", NVPMODEL.replace("set -e", again), "/usr/sbin")
        agent.process.send_signal(number)
        assert agent.until("stopped")[-1] == {"stopped": number.name}
        assert agent.end() == 130
    assert state(root) == before
    assert (root / "var/lib/nas/clocks.journal").read_text() == ""  # nothing is left to put back


def test_a_second_signal_while_the_last_line_is_said_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signalled(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    (tmp_path / "plan").touch()
    monkeypatch.setattr(agent_module, "serve", signalled)
    monkeypatch.setattr(agent_module.Link, "say", signalled)
    arguments = ["--plan", str(tmp_path / "plan")]
    process = in_process(lambda: sys.exit(agent_module.main(arguments)))
    process.join(20)
    assert process.exitcode == 130


def test_after_a_kill_the_next_start_restores(root: Path) -> None:
    build("xavier-nx-jp5", root)
    before = state(root)
    lines = plan([task("a", clocks={"gpu_mhz": 510}, mode="MODE_10W_2CORE")], settings=LONG)
    with running(root, lines) as agent:
        wait_for(lambda: pinned(root))
        agent.process.kill()
    assert state(root) != before
    with running(root, plan([])) as agent:
        restored = next(m["restored"] for m in agent.until("done") if "restored" in m)
    assert "`nvpmodel -m 2`" in restored
    assert any("min_freq = 114750000" in entry for entry in restored)
    assert state(root) == before


@pytest.mark.slow
def test_kills_at_any_time(root: Path) -> None:
    """Twenty agents in a row, each killed somewhere; every next start puts back what it left."""
    build("xavier-nx-jp5", root)
    before, rng = state(root), np.random.default_rng(0)
    clocks = [{"gpu_mhz": mhz, "cpu_mhz": 1190.4, "emc_mhz": 800} for mhz in (510, 1109.25)]
    modes = ["MODE_10W_2CORE", "MODE_20W_6CORE"]
    tasks = [task(str(i), clocks=clocks[i % 2], mode=modes[i % 2]) for i in range(200)]
    n_dirty = 0
    for delay_s in rng.uniform(0.2, 2, 20):
        with running(root, plan(tasks)) as agent:
            time.sleep(delay_s)
            agent.process.kill()
        n_dirty += state(root) != before
    assert n_dirty > 5
    with running(root, plan([])) as agent:
        agent.until("done")
    assert state(root) == before


def test_a_broken_line_stops_nothing_and_the_next_one_follows(root: Path) -> None:
    """The first agent loses its host and goes on; the second sends what the first measures."""
    build("raspberry-pi-4", root)
    tasks = [task(name) for name in "abcdef"]
    lines = plan(tasks, settings={**QUICK, "warmup_s": 0.3})
    with running(root, lines) as first:
        first.until("row")
        assert first.process.stdin is not None
        assert first.process.stdout is not None
        first.process.stdin.close()
        first.process.stdout.close()
        first.process.send_signal(signal.SIGSTOP)  # or it is done before a slow second one begins
        with running(root, lines) as second:
            messages = second.until("waiting")
            first.process.send_signal(signal.SIGCONT)
            messages += second.until("done")
            second.send(b'{"forget": true}\n')
            assert second.end() == 0
        assert first.process.wait(40) == 0
    assert f"process {first.process.pid} is measuring" in messages[1]["waiting"]
    assert sorted(rows_of(messages)) == list("abcdef")
    assert sum("row" in m for m in messages) == 6


def test_the_second_line_can_stop_what_the_first_began(root: Path) -> None:
    build("xavier-nx-jp5", root)
    before = state(root)
    lines = plan([task("a", clocks={"gpu_mhz": 510})], settings=LONG)
    with running(root, lines) as first:
        wait_for(lambda: pinned(root))
        with running(root, lines) as second:
            second.until("waiting")
            second.send(b'{"stop": true}\n')
            assert first.process.wait(10) == 130
            assert second.process.wait(10) == 130
    assert state(root) == before


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"", "the plan ended before its last line"),
        (b"plan\n", "a line that is no JSON"),
        (b"[]\n", "a line that is no object"),
        (plan([], settings={"second": 1}), "settings second are unknown: warmup_calls, "),
        (plan([], clocks="fast"), "clocks is 'fast', expected one of auto, pin, present"),
        (plan([{"runner": "command"}]), "every task needs an `id`"),
    ],
)
def test_plans_that_are_none(lines: bytes, words: str, root: Path) -> None:
    build("raspberry-pi-4", root)
    with running(root, lines) as agent:
        assert agent.process.stdin is not None
        agent.process.stdin.close()
        assert words in agent.until("fatal")[-1]["fatal"]
        assert agent.process.wait(10) == 1


class TestAlone:
    @pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
    def test_the_boards_python_reads_it(self, path: Path) -> None:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        future = [n.names[0].name for n in tree.body if isinstance(n, ast.ImportFrom)]
        if path.name != "__init__.py":
            assert "annotations" in future

    def test_the_boards_python_has_what_it_calls(self) -> None:
        """Names of the standard library that came later, which no parser sees."""
        pytest.importorskip("vermin")
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "import vermin; vermin.main()",
                "--no-tips",
                "-t=3.8-",
                "--violations",
                str(BOARD),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def test_it_is_imported_with_everything_else_blocked(self, tmp_path: Path) -> None:
        shutil.copytree(BOARD, tmp_path / "board")
        names = [".".join(path.relative_to(BOARD).with_suffix("").parts) for path in FILES]
        names = [name for name in names if not name.endswith("__init__")]
        code = IMPORT_ALL.replace("{names}", repr(names))
        run_alone(code, 'top not in sys.stdlib_module_names | {"board"}', tmp_path)
