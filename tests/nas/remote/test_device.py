"""A board behind ssh as a device."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from nas.remote.ssh import Remote
from search_spaces import InputError
from tests.nas.board.fake_board import build
from tests.nas.remote.following import following

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no `ssh` on this machine")
QUICK = {"warmup_s": 0.02, "seconds": 0.05, "drift": 10.0}


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


def test_a_board_measures_with_two_backends_alone(board: Remote) -> None:
    from nas.devices import AnalyticDevice, load_profile
    from nas.remote.device import RemoteDevice

    model = AnalyticDevice(load_profile("nano"))
    with pytest.raises(InputError, match="onnxruntime or tensorrt, got `backend` ncnn"):
        RemoteDevice(board, model, backend="ncnn")
