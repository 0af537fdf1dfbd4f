"""`nas measure`: all rows once, in a random order, whatever kills it; look-up tables; noise."""

from __future__ import annotations

import csv
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nas.devices.ofa_blocks import block_network
from nas.measure import programs, row_key
from nas.measure.noise import mixed_processors, noise
from nas.measure.ofa_table import covering_subnets
from nas.measure.table import Table
from predictors import LutPredictor, csv_text, ofa_keys, read_cells, read_ofa_lut, read_rows, srcc
from search_spaces import ROW_KEY, InputError, MobileNetV3Space, get_space
from supernets import SqueezeExcite, build_supernet, extract
from tests.nas.conftest import kill, nas, nas_in_process

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
    done = nas(*MODEL, *options, "--out", out)
    assert done.code == 0, done.err
    rows = read_rows(out, DIGITS)
    assert len(rows) == 8 * 5 * 2 * 2 * 2 * 2
    assert not rows.duplicated(["subnet", "heads", "level", "precision", "batch", "repeat"]).any()
    assert set(rows["level"]) == {0, 11}
    assert set(rows["batch"]) == {1, 8}
    every = nas(*MODEL, "--levels", "all", "--out", tmp_path / "all.csv")
    assert every.code == 0
    assert set(read_rows(tmp_path / "all.csv", DIGITS)["level"]) == set(range(12))


def test_a_table_needs_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("nas.measure.nodes", "nas.cluster.cluster", "nas.cluster.trials"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    done = nas(*MODEL, "--quiet", "--out", tmp_path / "rows.csv")
    assert done.code == 0, done.err


def test_the_order_is_random_and_follows_from_the_seed(tmp_path: Path) -> None:
    common = (*MODEL, "--samples", 4, "--levels", "all", "--quiet")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert nas(*common, "--seed", seed, "--out", tmp_path / name).code == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    rows = pd.read_csv(tmp_path / "a")
    order = np.arange(len(rows))
    for column in ("level", "latency_ms"):
        assert abs(srcc(order, rows[column])) < 0.2


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


def test_another_setting_is_another_row(tmp_path: Path) -> None:
    """One file may hold several backends: none is taken for the other."""
    out = tmp_path / "rows.csv"
    common = (*HOST, "--samples", 1, "--quiet", "--out", out)
    for options in ([], ["--backend", "onnxruntime"], ["--batch", 2], []):
        assert nas(*common, *options).code == 0
    rows = read_rows(out, DIGITS)
    assert len(rows) == 15
    found = rows.groupby(["backend", "batch", "threads"]).size().to_dict()
    assert found == {
        (b, n, "1"): 5 for b, n in (("onnxruntime", 1), ("pytorch", 1), ("pytorch", 2))
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
        ("space,latency_ms\na,1.5\nb,\n", "line 3: latency_ms must be positive, got ''"),
        ("space,latency_ms\na,nan\n", "line 2: latency_ms must be positive, got 'nan'"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=f"{message}; choose another `out`"):
            Table(path)
        assert path.read_text() == text


# ---- what may go wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--levels", "0,99"], "nano has levels 0 to 11, got --levels 99"),
        (["--levels", "-13"], "nano has levels 0 to 11, got --levels -13"),
        (["--levels", "top"], "--levels 'top': write numbers and ranges"),
        (["--batch", "1,b"], "--batch takes whole numbers like 1,8, got '1,b'"),
        (["--repeat", "0"], "--repeat must be at least 1, got 0"),
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


def test_noise_is_that_of_a_hand_count() -> None:
    rows = [
        *(row(0, 0, 1.0, 1.1), row(0, 1, 1.02, 1.2), row(0, 2, 1.01, 2.0)),
        *(row(1, 0, 2.0, 2.0), row(1, 1, 2.0, 2.1), row(1, 2, 2.4, 2.4)),
        *(row(2, 0, 3.0, 3.1), row(2, 1, 1.5, 1.6), row(2, 2, 3.0, 3.2)),
    ]
    found = noise(rows)
    ratios = [r["latency_p95_ms"] / r["latency_ms"] for r in rows]  # type: ignore[operator]
    assert found.p95_to_median == pytest.approx(np.median(ratios))
    assert found.worst_p95_to_median == pytest.approx(2.0 / 1.01)
    assert found.spread_pct == pytest.approx(20)  # of 100 * 0.02 / 1.01, 20, 50
    assert found.worst_spread_pct == pytest.approx(50)
    # repeats 0, 1, 2 rank the programs 1 2 3, 1 3 2, 1 2 3
    assert found.srcc == pytest.approx((0.5 + 1.0 + 0.5) / 3)
    assert found.lowest_srcc == pytest.approx(0.5)
    assert found.noisy == {row_key(r) for r in (rows[2], rows[5], rows[7])}
    assert len(found.lines()) == 3


def test_rows_without_repeats_or_percentiles_say_nothing() -> None:
    assert noise([]).lines() == []
    found = noise([row(i, 0, 1.0 + i) for i in range(5)])
    assert (found.n_rows, found.p95_to_median, found.spread_pct, found.srcc) == (
        5,
        None,
        None,
        None,
    )
    assert found.noisy == frozenset()


def test_ranks_are_not_pooled_over_levels() -> None:
    """Each level orders its programs backwards in the second repeat; the clock must not hide it."""
    rows = [
        row(i, repeat, 10.0**level * (1 + (i if repeat else 2 - i))) | {"level": level}
        for level in (0, 1)
        for repeat in (0, 1)
        for i in range(3)
    ]
    assert noise(rows).srcc == pytest.approx(-1)


def test_rows_of_different_processors_are_no_table_of_one_device() -> None:
    rows = [row(i, 0, 1.0) | {"host": "A, 1 thread" if i < 3 else "B, 1 thread"} for i in range(4)]
    assert mixed_processors(rows[:3]) == []
    assert mixed_processors([row(0, 0, 1.0)]) == []
    (line,) = mixed_processors(rows)
    assert line.endswith("are not one device: 3 rows on A, 1 thread; 1 rows on B, 1 thread")


def test_noisy_rows_are_measured_again_and_no_others(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    command = (*MODEL, "--out", out)
    assert nas(*command).code == 0
    rows = pd.read_csv(out, dtype=str)
    rows["latency_p95_ms"] = rows["latency_ms"]
    honest = rows["latency_ms"].copy()
    rows.loc[[3, 7], "latency_p95_ms"] = "1e9"
    rows.loc[[3, 7], "latency_ms"] = "55.5"
    foreign = rows.iloc[[3]].assign(device="another")  # noisy too, but not of this command
    pd.concat([rows, foreign]).to_csv(out, index=False)
    said = nas(*command)
    assert "2 rows are noisy" in said.err
    assert said.err.rstrip().endswith("--redo-noisy")
    done = nas(*command, "--redo-noisy")
    assert done.code == 0, done.err
    assert "2 noisy rows are measured again" in done.err
    after = pd.read_csv(out, dtype=str)
    assert len(after) == 41
    assert (after["device"] == "another").sum() == 1
    keys = ["subnet", "heads", "device"]
    mine = after[after["device"] == "nano"].set_index(keys)["latency_ms"]
    wanted = rows.assign(latency_ms=honest).set_index(keys)["latency_ms"]
    assert mine.sort_index().to_dict() == wanted.sort_index().to_dict()


# ---- operators alone -----------------------------------------------------------------------------


def test_a_table_of_operators_predicts_whole_programs(tmp_path: Path) -> None:
    rows, lut = tmp_path / "rows.csv", tmp_path / "lut.csv"
    common = (*HOST, "--backend", "onnxruntime")
    assert nas(*common, "--samples", 6, "--quiet", "--out", rows).code == 0
    done = nas(*common, "--per-operator", "--against", rows, "--out", lut, "--json")
    assert done.code == 0, done.err
    assert "30 programs take" in " ".join(done.err.split())
    told = json.loads(done.out)
    assert told["noise"]["n_rows"] == len(pd.read_csv(lut))
    assert len(told["noisy"]) == told["noise"]["noisy"]
    (error,) = told["lut"]
    assert error["n_rows"] == 30
    assert error["measured_to_sum"] > 0.1
    assert 0 < error["fitted_mape_pct"] < 100  # the machine may be busy
    table = pd.read_csv(lut)
    assert table["operator"].is_unique
    assert set(table["source"]) == {"measured"}
    assert "subnet" not in table
    again = lut.read_bytes()
    assert nas(*common, "--per-operator", "--against", rows, "--out", lut).code == 0
    assert lut.read_bytes() == again

    other = nas(*HOST, "--per-operator", "--against", rows, "--out", lut, "--quiet")
    assert other.code == 1
    assert "has 0 programs on device host, backend pytorch" in other.err


def test_keys_name_a_measurement() -> None:
    assert ROW_KEY[-1] == "repeat"
    assert row_key({"space": "a", "level": 3, "repeat": None})[5] == "3"


# ---- once-for-all's tables -----------------------------------------------------------------------


@torch.inference_mode()
def test_blocks_of_once_for_all_add_up_to_the_network() -> None:
    """Each part is what its key says, and the parts in a row compute the whole subnet."""
    space = MobileNetV3Space(n_classes=10, resolutions=(32, 48))
    net = build_supernet(space).eval()
    subnets = [*covering_subnets(space, 32), space.subnet(space.smallest)]
    keys = {key for subnet in subnets[:-1] for key in ofa_keys(space, subnet)}
    for genes in space.sample(20, np.random.default_rng(0)):
        if genes[-1] == 32:
            assert set(ofa_keys(space, space.subnet(genes))) <= keys
    for subnet in subnets[-2:]:
        static = extract(net, subnet).fold()
        image = torch.randn(2, *space.input_shape(subnet))
        listed, n_weights = ofa_keys(space, subnet), 0
        for index, key in enumerate(listed):
            part, x = block_network(static, image, index)
            y = part(x)
            n_weights += sum(p.numel() for p in part.parameters())
            if "AvgPool2D" not in key and "1x1x" not in key:
                sides = f"input:{x.shape[2]}x{x.shape[3]}x{x.shape[1]}"
                assert f"{sides}-output:{y.shape[2]}x{y.shape[3]}x{y.shape[1]}" in key
            if "-se:" in key:
                squeezes = any(isinstance(m, SqueezeExcite) for m in part.modules())
                hard_swish = any(isinstance(m, torch.nn.Hardswish) for m in part.modules())
                assert f"-se:{squeezes:d}-hs:{hard_swish:d}" in key
        torch.testing.assert_close(y, static(image)[-1])
        assert n_weights == sum(p.numel() for p in static.parameters())


@pytest.mark.slow
def test_a_table_of_once_for_all_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "lut" / "128_lookup_table.yaml"
    command = ("measure", "--device", "host", "--space", "ofa-mobilenetv3", "--ofa-lut", path)
    command += ("--backend", "onnxruntime", "--seconds", 0.01, "--out", tmp_path / "rows.csv")
    done = nas(*command)
    assert done.code == 0, done.err
    (table,) = read_ofa_lut(path).values()
    space = get_space("ofa-mobilenetv3")
    genes = space.sample(5, np.random.default_rng(0))
    genes[:, -1] = 128
    lut = LutPredictor({key: entry["mean"] for key, entry in table.items()})
    assert (lut.sums([ofa_keys(space, subnet) for subnet in space.subnets(genes)]) > 0.5).all()


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        ("resnet-digits", "224_lookup_table.yaml", "needs a space ofa-mobilenetv3 without exits"),
        ("ofa-mobilenetv3", "table.yaml", "must be named like 224_lookup_table.yaml"),
        (
            "ofa-mobilenetv3",
            "99_lookup_table.yaml",
            "resolution of ofa-mobilenetv3, got 99_",
        ),
    ],
)
def test_a_table_is_named_by_its_resolution(
    tmp_path: Path, space: str, name: str, message: str
) -> None:
    options = ("--device", "host", "--space", space, "--samples", 1, "--out", tmp_path / "rows.csv")
    done = nas("measure", *options, "--ofa-lut", tmp_path / name)
    assert done.code == 1
    assert message in done.err


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
