"""`nas measure`: all rows once, in a random order, whatever kills it; look-up tables; noise."""

from __future__ import annotations

import csv
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from nas.measure import programs, row_key
from nas.measure.table import Table
from predictors import csv_text, read_cells, read_rows
from search_spaces import InputError, get_space
from tests.nas.conftest import kill, nas, nas_in_process, refused

DIGITS = get_space("resnet-digits")
COMMAND = [sys.executable, "-m", "nas.cli.app"]
HOST = ("measure", "--device", "host", "--space", "resnet-digits", "--seconds", 0.01)
MODEL = ("measure", "--device", "nano", "--space", "resnet-digits", "--samples", 8)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


# ---- the table -----------------------------------------------------------------------------------


def test_the_whole_table_in_one_command(tmp_path: Path) -> None:
    """Programs x levels x precisions x batches x repeats, each once; readable by the predictors."""
    out = tmp_path / "rows.csv"
    options = ("--levels", "0,-1", "--precision", "fp32,fp16", "--batch", "1,8", "--repeat", 2)
    done = nas(*MODEL, "--samples", 2, *options, "--out", out)
    assert done.code == 0, done.err
    rows = read_rows(out, DIGITS)
    assert len(rows) == 2 * 5 * 2 * 2 * 2 * 2
    assert not rows.duplicated(["subnet", "heads", "level", "precision", "batch", "repeat"]).any()
    assert set(rows["level"]) == {0, 11}
    assert set(rows["batch"]) == {1, 8}
    assert f"160 rows in {out}" in done.err
    more = nas(*MODEL, "--samples", 1, "--levels", "2", "--out", out)
    assert f"5 rows added, 165 in {out}" in more.err
    every = nas(*MODEL, "--samples", 2, "--levels", "all", "--out", tmp_path / "all.csv")
    assert every.code == 0
    assert set(read_rows(tmp_path / "all.csv", DIGITS)["level"]) == set(range(12))


def test_a_table_needs_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("nas.measure.nodes", "nas.cluster.cluster", "nas.cluster.trials"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    done = nas(*MODEL, "--quiet", "--out", tmp_path / "rows.csv")
    assert done.code == 0, done.err


def test_a_kill_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Simulated rows are reproducible: the file of a killed run must equal that of a whole one."""
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    options = [*map(str, MODEL), "--levels", "all", "--quiet", "--out"]
    assert nas(*options, whole).code == 0
    rng = random.Random(0)
    n = 0
    for _ in range(3):
        process = nas_in_process(*options, killed)
        aim = n + rng.randrange(20, 100)
        while process.is_alive() and (n := len(lines(killed)) if killed.exists() else 0) < aim:
            time.sleep(0.002)
        kill(process)
        with killed.open("a") as file:  # as if the kill had hit a write
            file.write(lines(whole)[1][: rng.randrange(1, 60)])
    assert 60 < n < len(lines(whole)) - 1
    done = nas(*options, killed)
    assert done.code == 0, done.err
    assert killed.read_bytes() == whole.read_bytes()


def test_a_killed_measurement_of_this_machine_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    command = [*HOST, "--samples", 3, "--repeat", 2, "--quiet", "--out", out]
    process = nas_in_process(*command)
    while not out.exists() or out.read_bytes().count(b"\n") < 7:
        assert process.is_alive()
        time.sleep(0.01)
    kill(process)
    before = lines(out)[:7]
    done = nas(*command)
    assert done.code == 0, done.err
    assert lines(out)[:7] == before
    rows = read_rows(out, DIGITS)
    assert len(rows) == 3 * 5 * 2
    assert not rows.duplicated(["subnet", "heads", "repeat"]).any()
    assert {(s, h) for s, h in zip(rows["subnet"], rows["heads"], strict=True)} == {
        (str(s), "+".join(map(str, heads))) for s, heads in programs(DIGITS, 3, 0)
    }


def test_an_older_file_gets_the_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("space,subnet,latency_ms\na,b,1.5\n")
    table = Table(path)
    table.append({"space": "a", "subnet": "c,d", "latency_ms": 2.5, "repeat": 0})
    table.append({"space": "a", "latency_ms": 3})
    assert path.read_text() == 'space,subnet,latency_ms,repeat\na,b,1.5,\na,"c,d",2.5,0\na,,3,\n'
    assert [row_key(row)[-1] for row in Table(path).rows] == ["0", "0", "0"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match=r"cannot read .* choose another `out`"):
        Table(path)
    for text, message in (
        ("space,latency_ms\na,1,3\n", "lines of different length"),
        ("id,error\n1,2\n", "has no column latency_ms"),
        ("space;latency_ms\na;1,5\n", "a spreadsheet saved it; save it with commas"),
        ("space,latency_ms\na,1.5\nb,\n", "line 3: latency_ms must be positive, got ''"),
        ("space,latency_ms\na,nan\n", "line 2: latency_ms must be positive, got 'nan'"),
        (
            "latency_ms,energy_mj\n1,\n1,N/A\n",
            "line 3: energy_mj must be positive or empty, got 'N/A'",
        ),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=f"{message}; choose another `out`"):
            Table(path)
        assert path.read_text() == text


def test_a_torn_line_is_cut_from_a_table_and_from_nothing_else(tmp_path: Path) -> None:
    """A pareto.json given as `out` by mistake lost its last line, a file of tensors more."""
    path = tmp_path / "rows.csv"
    path.write_text("space,latency_ms\na,1.5\nb,2")
    assert [row["space"] for row in Table(path).rows] == ["a"]
    assert path.read_text() == "space,latency_ms\na,1.5\n"
    for other in (b'{\n "id": 1\n}', b"\x00\xff\n\xfe", b"space,latency_ms\ra,1.5\rb,2.5\r"):
        path.write_bytes(other)
        with pytest.raises(InputError, match="choose another `out`"):
            Table(path)
        assert path.read_bytes() == other


# ---- what may go wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--levels", "0,99"], "nano has levels 0 to 11, got --levels 99"),
        (["--levels", "-13"], "nano has levels 0 to 11, got --levels -13"),
        (["--levels", "top"], "--levels 'top': write numbers and ranges"),
        (["--batch", "1,b"], "--batch takes whole numbers like 1,8, got '1,b'"),
        (["--repeat", "0"], "--repeat must be at least 1, got 0"),
        (["--threads", "2"], "--threads is for --device host, not for nano: leave it out"),
        (["--threads", "2", "--remote", "me@board"], "--threads is for --device host, not for"),
        (["--seconds", "1"], "--seconds is for --device host and boards (--remote), not for nano"),
        (["--sudo"], "--sudo is for a board: give --remote too"),
        (["--seed", "-1"], "--seed must be 0 or more, got -1"),
        (["--precision", "fp32,int3"], "unknown precision 'int3'"),
        (["--power-mode", "TURBO"], "nano has no power mode 'TURBO'"),
        (["--per-operator"], "nano cannot run operators alone; the device host can"),
        (["--against", "a.csv"], "give --per-operator too"),
        (["--ray", "local"], "--ray measures on nodes of a cluster: give --device host"),
        (["--ray", "local", "--remote", "me@board"], "give --device host, no --remote"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    done = nas(*MODEL, *options, "--out", tmp_path / "rows.csv", "--quiet")
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "rows.csv").exists()


def test_a_table_is_of_one_space_and_threads_have_cores(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    assert nas(*MODEL, "--samples", 2, "--quiet", "--out", out).code == 0
    kept = out.read_bytes()
    other = (*MODEL[:4], "resnet-cifar", "--samples", 2, "--quiet", "--out", out)
    refused(nas(*other), "holds rows of the space resnet-digits, which one table cannot mix")
    assert out.read_bytes() == kept
    many = nas(*HOST, "--samples", 2, "--threads", 9999, "--quiet", "--out", tmp_path / "new.csv")
    refused(many, "--threads must be at most ")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = nas(*MODEL, "--quiet", "--out", tmp_path / "file" / "rows.csv")
    assert done.code == 1
    assert "choose another --out" in done.err
    assert done.err.count("\n") == 1


def test_a_full_disk_is_one_line_and_keeps_the_rows(tmp_path: Path) -> None:
    """The system refuses a file of more than 4,000 bytes, in the middle of a line."""
    out = tmp_path / "rows.csv"
    options = [*map(str, MODEL), "--quiet", "--out", str(out)]
    done = subprocess.run(
        [*COMMAND, *options],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot write to" in done.stderr
    assert "rows are kept, the same command goes on" in done.stderr
    assert done.stderr.count("\n") == 1
    kept = out.read_bytes()
    assert 3000 < len(kept) <= 4000
    assert nas(*options).code == 0
    assert len(read_rows(out, DIGITS)) == 40
    assert out.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])


# ---- noise ---------------------------------------------------------------------------------------


def row(program: int, repeat: int, ms: float, p95: float | None = None) -> dict[str, object]:
    about = {"space": "s", "subnet": f"n{program}", "heads": "0", "device": "d", "level": 0}
    return {**about, "repeat": repeat, "latency_ms": ms, "latency_p95_ms": p95}


# ---- operators alone -----------------------------------------------------------------------------


# ---- once-for-all's tables -----------------------------------------------------------------------


# ---- what an editor leaves -----------------------------------------------------------------------

HARMLESS = {"space": "s", "subnet": "d1", "device": "host", "level": "0", "latency_ms": "1.5"}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_resumed_file_keeps_its_columns(tmp_path: Path, mark: bytes, end: str) -> None:
    """Excel writes a mark in front and other line ends; the run goes on in the same columns."""
    path = tmp_path / "rows.csv"
    text = f"{','.join(HARMLESS)}{end}{','.join(HARMLESS.values())}{end}"
    path.write_bytes(mark + text.encode())
    table = Table(path)
    assert table.columns == list(HARMLESS)
    table.append({**HARMLESS, "level": 1})
    table.append({**HARMLESS, "level": 2})
    kept = Table(path)
    assert (kept.columns, [row["level"] for row in kept.rows]) == (list(HARMLESS), ["0", "1", "2"])
    assert b"\r" not in path.read_bytes()
    assert not path.read_bytes().startswith(b"\xef")


@pytest.mark.parametrize("text", ["=cmd()", "+1+1", "-2+3", "@SUM(A1)", "\t=1", '=1+1,"x"'])
def test_no_cell_is_run_by_a_spreadsheet(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    Table(path).append({**HARMLESS, "notes": text, "delta": -1.5})
    again = Table(path)
    assert again.rows[0]["notes"] == text
    assert again.rows[0]["delta"] == "-1.5"
    cells = list(csv.reader(path.open()))[1]
    assert not any(cell.startswith(("=", "+", "@", "\t")) for cell in cells)
    frame = pd.DataFrame([{**HARMLESS, "notes": text, "=head": -1.5}])
    path.write_text(csv_text(frame))
    assert not any(c.startswith(("=", "+", "@")) for row in csv.reader(path.open()) for c in row)
    read = read_cells(path, ("subnet",))
    assert read["notes"].tolist() == [text]
    assert "=head" in read
