"""Engines built and timed by `trtexec`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import pytest

from nas.board.bench.protocol import Bench, Settings, measure
from nas.board.bench.runners import make_runner
from nas.board.control.sensors import open_sensor
from nas.board.control.sysfs import BoardError
from tests.nas.board.fake_board import FakeKernel, build

TRTEXEC = """#!{python}
import json, os, sys, time
given = dict(a.lstrip("-").partition("=")[::2] for a in sys.argv[1:])
with open(os.path.join(os.path.dirname(sys.argv[0]), "calls"), "a") as file:
    file.write(" ".join(sorted(given)) + "\\n")
if "onnx" in given:
    if open(given["onnx"]).read() == "bad":
        print("[I] parsing"); print("[E] Failed to parse onnx file"); sys.exit(1)
    open(given["saveEngine"], "w").write("engine")
    sys.exit()
assert open(given["loadEngine"]).read() == "engine"
time.sleep(.3)
start = time.perf_counter()
time.sleep(.5)
n = {n}
records = [dict(inMs=0, latencyMs=2.5, startComputeMs=i) for i in range(n)]
json.dump(records, open(given["exportTimes"], "w"))
print("[I] Warmup completed 10 queries over 200 ms", flush=True)
print("[I] Timing trace has %d queries over %g s" % (n, time.perf_counter() - start), flush=True)
time.sleep(.2)
"""


class TestTrtexec:
    """A stand-in that keeps to the tool's flags and files; the real one needs a GPU."""

    @pytest.fixture
    def tool(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return self.write(tmp_path, 200)

    def write(self, folder: Path, n: int) -> Path:
        tool = folder / "trtexec"
        tool.write_text(TRTEXEC.replace("{python}", sys.executable).replace("{n}", str(n)))
        tool.chmod(0o755)
        (folder / "net.onnx").write_text("good")
        return tool

    TASK: ClassVar = {
        "runner": "trtexec",
        "files": ["net.onnx"],
        "precision": "fp16",
        "shape": [3, 8, 8],
    }

    def bench(self, root: Path) -> Bench:
        build("xavier-nx-jp5", root)
        kernel = FakeKernel(root)
        return Bench(kernel, {}, [], open_sensor(kernel, {}))

    def test_the_engine_is_built_once_and_timed_by_the_tool(self, tool: Path, root: Path) -> None:
        bench, here = self.bench(root), Settings(idle_s=0.05, sample_s=0.005)
        for _ in range(2):
            run, sync = make_runner(self.TASK, str(tool.parent))
            row = measure(bench, run, sync, here)
        assert (row["latency_ms"], row["n_runs"]) == (2.5, 200)
        assert row["power_w"] == pytest.approx(5, rel=0.01)
        assert row["energy_mj"] == pytest.approx(5 * 0.5 / 200 * 1e3, rel=0.2)  # not of its start
        calls = (tool.parent / "calls").read_text().splitlines()
        assert ["onnx" in call for call in calls] == [True, False, False]
        assert "fp16" in calls[0]
        assert "optShapes" in calls[0]

    def test_too_few_times_are_rejected(self, tool: Path, root: Path) -> None:
        self.write(tool.parent, 50)
        run, sync = make_runner(self.TASK, str(tool.parent))
        with pytest.raises(BoardError, match=r"only 50 calls were timed, 100 are needed"):
            measure(self.bench(root), run, sync, Settings(idle_s=0.05, attempts=1))

    def test_its_own_words_where_it_fails(self, tool: Path) -> None:
        (tool.parent / "net.onnx").write_text("bad")
        with pytest.raises(BoardError, match=r"trtexec ended with code 1: \[E\] Failed to parse"):
            make_runner(self.TASK, str(tool.parent))

    def test_without_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "net.onnx").write_text("good")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(BoardError, match="trtexec is neither on the PATH nor at /usr/src"):
            make_runner(self.TASK, str(tmp_path))
