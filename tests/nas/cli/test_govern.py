"""`nas govern --simulate`: rows, a picture, and one line for what cannot be."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from nas.board.control.journal import BusyError, Journal
from nas.board.control.sysfs import BoardError
from nas.cli.govern_board import Running, govern_board
from nas.runtime.live import Live
from nas.runtime.manifest import ManifestError, read_manifest
from nas.runtime.policies import Demands
from nas.runtime.scenarios import last_error_pct
from nas.runtime.table import manifest_table
from nas.runtime.traces import read_traces, write_traces
from nas.start.govern import Governed, Load, govern_frames
from nas.start.main import main as start
from tests.nas.board.conftest import root
from tests.nas.board.fake_board import FakeKernel, build, state
from tests.nas.conftest import Searched, nas, refused

__all__ = ["root"]


@pytest.fixture
def run(searched: Searched) -> Path:
    return searched.run


@pytest.fixture
def board(searched: Searched) -> Path:
    return searched.board


def simulate(run: Path, *more: object) -> list[dict[str, object]]:
    common = "--simulate", "bursts", "--seconds", 5, "--json"
    done = nas("govern", "--pareto", run / "pareto.json", *common, *more)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_the_governor_stands_beside_its_baselines(run: Path) -> None:
    rows = {row["agent"]: row for row in simulate(run)}
    assert {"governor", "nvhost_podgov + a", "bound"} <= set(rows)
    assert all(row["source"] == "simulated" for row in rows.values())
    mine = rows["governor"]["mj_per_frame"]
    assert rows["bound"]["mj_per_frame"] <= mine < rows["nvhost_podgov + a"]["mj_per_frame"]
    assert rows["governor"]["exits"] == "exit rates"


def test_an_export_is_simulated_with_its_own_images(board: Path) -> None:
    common = "--simulate", "constant", "--seconds", 5, "--json", "--baseline", "powersave"
    done = nas("govern", "--manifest", board, *common)
    assert done.code == 0, done.err
    assert {row["exits"] for row in json.loads(done.out)} == {"exit traces"}


def test_a_front_with_exits_alone_has_a_subnet_without_them(board: Path) -> None:
    """Its last exit alone is always a choice: the traces say how often it errs."""
    table = manifest_table(read_manifest(str(board)))
    traces = read_traces(str(board / "traces.npz"))
    rows = np.flatnonzero(table.has_exits).tolist()
    wider = table.take(rows).with_last_exits(last_error_pct(table.take(rows), traces))
    new = range(len(rows), len(wider.ids))
    assert len(new) == len(set(table.take(rows).subnets)) > 0
    assert not wider.has_exits[new].any()
    assert (wider.mean_ms[new] == wider.time_ms[new, -1]).all()
    wrong = ~traces.correct[traces.subnets.index(wider.subnets[-1]), :, -1]
    assert wider.error_pct[-1] == pytest.approx(100 * wrong.mean())


def test_traces_of_other_weights_are_refused(run: Path, board: Path, tmp_path: Path) -> None:
    read = read_traces(str(board / "traces.npz"))
    other = tmp_path / "other.npz"
    write_traces(str(other), read._replace(about={**read.about, "supernet_sha256": "0" * 64}))
    asked = "--simulate", "bursts", "--traces", other
    refused(nas("govern", "--pareto", run / "pareto.json", *asked), "of the weights 000000000000")


def test_the_same_seed_gives_the_same_rows(run: Path) -> None:
    baseline = "--baseline", "simple_ondemand"
    assert simulate(run, *baseline) == simulate(run, *baseline)
    assert simulate(run, *baseline) != simulate(run, *baseline, "--seed", 1)


def test_arrivals_of_a_file(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text("".join(f"{ms},3\n" for ms in range(100, 4000, 200)))
    rows = simulate(run, "--arrivals", file, "--target-ms", 150, "--baseline", "bound")
    assert {row["frames"] for row in rows} == {20}
    with file.open("a") as more:
        more.write("6000,3\n7000,3\n")  # behind the end: nobody answers or pays for them
    assert simulate(run, "--arrivals", file, "--target-ms", 150, "--baseline", "bound") == rows


def test_a_picture_opens_offline(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    simulate(run, "--report", out, "--baseline", "nvhost_podgov")
    text = out.read_text()
    assert text.count('role="img"') == 6
    assert text.count("<polyline") == 18  # governor, with a, with b
    assert "Simulated, not measured" in text
    assert not re.search(r"https?://|src=|href=", text)
    assert "width=device-width" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--simulate", "burst"], ["unknown scenario 'burst'; did you mean bursts?"]),
        (["--simulate", "pi-bursts"], ["is a load of raspberry-pi-4", "the table is of nano"]),
        (["--simulate", "bursts", "--baseline", "podgov"], ["unknown baseline", "nvhost_podgov"]),
        (["--simulate", "bursts", "--baseline", "schedutil"], ["unknown baseline 'schedutil'"]),
        (["--simulate", "bursts", "--target-ms", "0.001"], ["--target-ms 0.001", "the fastest"]),
        (["--simulate", "bursts", "--floor-error-pct", "0.001"], ["the most accurate"]),
        (["--simulate", "bursts", "--policy", "speed"], ["unknown policy 'speed'"]),
        (["--simulate", "bursts", "--seconds", "-1"], ["--seconds must be 0 or more"]),
        (["--simulate", "bursts", "--seconds", "0.05"], ["nothing arrives within 0.05 s"]),
        (["--simulate", "bursts", "--traces", "none.npz"], ["none.npz does not exist"]),
        (
            ["--simulate", "bursts", "--period-ms", "50"],
            ["--period-ms is for a board", "--arrivals"],
        ),
        (["--simulate", "bursts", "--state", "a.json"], ["--state is for a board: leave it out"]),
        (["--simulate", "bursts", "--port", "9100"], ["--port is for a board: leave it out"]),
        (
            ["--simulate", "bursts", "--seconds", "0"],
            ["--seconds must be above 0 in a simulation, got 0"],
        ),
        (["--simulate", "bursts", "--seed", "-1"], ["--seed must be 0 or more, got -1"]),
        (["--seed", "3"], ["--seed is for a simulation: give --simulate too"]),
        (["--report", "a.html"], ["--report is for a simulation: give --simulate too"]),
        (["--simulate", "bursts", "--report", "."], ["is a folder; name a file in it"]),
        ([], ["a board needs --manifest and --target-ms"]),
    ],
)
def test_what_cannot_be_is_one_line(run: Path, more: list[str], words: list[str]) -> None:
    refused(nas("govern", "--pareto", run / "pareto.json", *more), *words)


def test_a_page_replaces_no_result(run: Path) -> None:
    asked = ("--pareto", run / "pareto.json", "--simulate", "bursts")
    refused(nas("govern", *asked, "--report", run / "pareto.json"), "which this command reads")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("10,1\n5,1\n", "times go back from 10 to 5 ms at arrival 2"),
        ("nan,1\n", "times must be 0 or more and finite"),
        ("-5,1\n", "times must be 0 or more and finite"),
        ("90000,1\n", "the first arrival is at 90000 ms"),
        ("5,900000000\n", "900000000 images"),
    ],
)
def test_arrivals_that_cannot_be_are_refused(
    run: Path, tmp_path: Path, lines: str, words: str
) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text(lines)
    done = nas("govern", "--pareto", run / "pareto.json", "--arrivals", file)
    refused(done, words)


def test_a_manifest_without_costs_per_level_is_refused(board: Path, tmp_path: Path) -> None:
    content = json.loads((board / "manifest.json").read_text())
    del content["governing"], content["content_sha256"]
    older = tmp_path / "older"
    shutil.copytree(board, older)
    (older / "manifest.json").write_text(json.dumps(content))
    refused(nas("govern", "--manifest", older, "--simulate", "bursts"), "no costs per level")


def test_one_of_manifest_and_table(run: Path, board: Path) -> None:
    refused(nas("govern", "--simulate", "bursts"), "--manifest", "--pareto")


# ---- on a board ----------------------------------------------------------------------------------


def on_board(board: Path, root: Path, tmp_path: Path, **more: object) -> Live:
    asked = Demands(target_ms=50.0, floor_error_pct=0.0)
    running = Running([30.0], [], [2], 1.5, tmp_path / "governor.json", 0, root)
    fs = FakeKernel(root, **more)  # type: ignore[arg-type]
    return govern_board([board], [asked], running, quiet=True, fs=fs)


def test_a_board_is_governed_and_left_as_it_was(board: Path, root: Path, tmp_path: Path) -> None:
    """Real networks of the export with ONNX Runtime, the clocks of a tree of files."""
    build("nano-jp4", root)
    before = state(root)
    live = on_board(board, root, tmp_path)
    counters = live.metrics.counters
    assert counters["frames"] >= 10
    assert counters["images"] == 2 * counters["frames"]
    assert counters["joules"] > 0
    assert live.metrics.switches["idle"] + live.metrics.switches["begin"] >= 1
    assert {k: v for k, v in counters.items() if k in ("refused_clock", "foreign_writer")} == {
        "refused_clock": 0,
        "foreign_writer": 0,
    }
    assert state(root) == before
    assert json.loads((tmp_path / "governor.json").read_text())["frames"] == counters["frames"]


def test_two_models_share_a_board(board: Path, root: Path, tmp_path: Path) -> None:
    """An engine each, one clock; what they answered is counted apart."""
    build("nano-jp4", root)
    before = state(root)
    running = Running([40.0, 100.0], [], [1, 3], 1.0, tmp_path / "governor.json", 0, root, 4.0)
    asked = [Demands(60.0), Demands(90.0)]
    live = govern_board([board, board], asked, running, quiet=True, fs=FakeKernel(root))
    served = {m.name: (m.frames, m.images) for m in live.metrics.models}
    assert served == {"board": (25, 25), "board-2": (10, 30)}
    assert set(json.loads((tmp_path / "governor.json").read_text())["models"]) == set(served)
    assert state(root) == before


def test_values_of_several_models_are_as_many(board: Path, root: Path) -> None:
    two = "--manifest", board, "--manifest", board
    refused(
        nas("govern", *two, *["--target-ms", 9] * 3, "--root", root),
        "--target-ms was given 3 times for 2 models",
    )
    refused(nas("govern", *two, "--simulate", "bursts"), "--simulate takes one --manifest")


def test_a_clock_that_stays_is_noticed_and_the_board_left_as_it_was(
    board: Path, root: Path, tmp_path: Path
) -> None:
    build("nano-jp4", root)
    before = state(root)
    live = on_board(board, root, tmp_path, stuck=("57000000.gpu",))
    assert live.level == 0  # the tree's clock, whatever was asked
    assert state(root) == before


class LowStays(FakeKernel):
    """The GPU's lowest limit cannot be put back to what it was."""

    def raw_write(self, path: str, text: str) -> None:
        if path.endswith("gpu/min_freq") and int(text) == 76_800_000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().raw_write(path, text)


def test_a_clock_that_could_not_be_put_back_is_said(
    board: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("nano-jp4", root)
    running = Running([30.0], [], [2], 0.2, tmp_path / "governor.json", 0, root)
    with pytest.raises(BoardError, match="cannot put back everything: cannot write 76800000 to"):
        govern_board([board], [Demands(50.0, 0.0)], running, fs=LowStays(root))
    said = capsys.readouterr().err
    assert " frames, " in said
    assert "as they were" not in said


def test_a_signal_ends_it_with_what_was_done(
    board: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("nano-jp4", root)
    before = state(root)
    running = Running([30.0], [], [2], 0.0, tmp_path / "governor.json", 0, root)

    class Stopped(FakeKernel):
        """Ctrl-C comes at the third look at the temperature."""

        looks = 0

        def raw_read(self, path: str) -> str:
            self.looks += path.endswith("zone0/temp")
            if self.looks == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return super().raw_read(path)

    with pytest.raises(KeyboardInterrupt):
        govern_board([board], [Demands(50.0, 0.0)], running, fs=Stopped(root))
    said = capsys.readouterr().err
    assert re.search(r"\d+ frames, \d+ late, [\d.]+ J\b.*\nthe clocks are as they were", said)
    assert "has no CUDAExecutionProvider: the networks run on the CPU" in said
    assert state(root) == before


def test_networks_of_several_sizes_are_refused(board: Path, root: Path) -> None:
    manifest = read_manifest(str(board))
    first = manifest.network(manifest.ids[0])["segments"][0]
    manifest.content["files"][first]["input"] = [1, 9, 9]
    one = Governed(manifest, Demands(50.0), Load([], 1, 30.0))
    with pytest.raises(ManifestError, match=r"images of 2 sizes \(1x8x8, 1x9x9\), and a frame has"):
        govern_frames([one], FakeKernel(root), state=str(root / "state.json"))


def test_a_board_of_another_kind_is_refused(board: Path, root: Path, tmp_path: Path) -> None:
    build("raspberry-pi-4", root)
    with pytest.raises(BoardError, match="no gpu clock that reaches"):
        on_board(board, root, tmp_path)


def test_a_second_governor_is_refused(board: Path, root: Path, tmp_path: Path) -> None:
    build("nano-jp4", root)
    with Journal(FakeKernel(root)), pytest.raises(BusyError, match="is measuring on this board"):
        on_board(board, root, tmp_path)


def test_a_target_nobody_meets_is_refused_before_a_clock_is_touched(
    board: Path, root: Path
) -> None:
    build("nano-jp4", root)
    before = state(root)
    common = "--manifest", board, "--root", root, "--quiet"
    refused(nas("govern", *common, "--target-ms", 0.001), "--target-ms 0.001", "the fastest")
    refused(nas("govern", *common, "--target-ms", 9, "--images", root / "x.npy"), "cannot read")
    refused(nas("govern", *common, "--target-ms", 9, "--power-w", 0), "--power-w must be positive")
    refused(nas("govern", *common, "--target-ms", 50, "--port", 70000), "--port 70000 cannot be")
    none = root / "none" / "state.json"
    refused(nas("govern", *common, "--target-ms", 50, "--state", none), "--state", "cannot be")
    assert state(root) == before


def test_a_copied_folder_governs_within_little_memory(
    board: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run.pyz govern` on a tree of files: real networks, most of them not kept."""
    build("nano-jp4", root)
    before = state(root)
    told = "--state", str(tmp_path / "governor.json"), "--root", str(root)
    load = "--target-ms", "50", "--period-ms", "30", "--n-images", "2", "--seconds", "1"
    start(str(board), ["govern", *load, *told, "--memory", "0.3"])
    assert "the clocks are as they were" in capsys.readouterr().out
    assert json.loads((tmp_path / "governor.json").read_text())["frames"] >= 1
    assert state(root) == before
