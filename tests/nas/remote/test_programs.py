"""Programs of a space on a board behind ssh."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas.remote.ssh import Remote
from tests.nas.board.fake_board import build, state
from tests.nas.remote.following import following

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no `ssh` on this machine")
QUICK = {"warmup_s": 0.02, "seconds": 0.05, "drift": 10.0}


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
