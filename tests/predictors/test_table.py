"""Measurement rows: good ones are read exactly, bad ones are named by line and column."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictors import TableError, check_target_rows, genes_and_heads, read_rows
from search_spaces import get_space

SPACE = get_space("resnet-digits")
LARGEST, SMALLEST = (str(SPACE.subnet(g)) for g in (SPACE.largest, SPACE.smallest))
HEADER = "space,subnet,heads,device,gpu_mhz,latency_ms,energy_mj,level,note"
ROW = f"resnet-digits,{LARGEST},0+3,nx,1109.25,1.5,7.25,14,kept"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_are_read_as_they_are(tmp_path: Path) -> None:
    other = f"resnet-digits,{SMALLEST},,nx,114.75,2.5,,0,"
    rows = read_rows(write(tmp_path, HEADER, ROW, "", other), SPACE)
    assert rows.columns.tolist() == HEADER.split(",")
    assert rows["latency_ms"].tolist() == [1.5, 2.5]
    assert rows["energy_mj"].isna().tolist() == [False, True]
    assert rows["level"].dtype == np.int64
    assert rows["note"].tolist() == ["kept", ""]
    genes, heads = genes_and_heads(rows, SPACE)
    np.testing.assert_array_equal(genes, np.concatenate([SPACE.largest, SPACE.smallest]))
    assert heads.tolist() == [[True, False, False, True], [True] * 4]


def test_rows_without_heads_run_all_exits(tmp_path: Path) -> None:
    row = f"resnet-digits,{LARGEST},host,0,1.5"
    rows = read_rows(write(tmp_path, "space,subnet,device,level,latency_ms", row), SPACE)
    assert "heads" not in rows
    assert genes_and_heads(rows, SPACE)[1].all()


def test_a_subnet_gets_its_canonical_spelling(tmp_path: Path) -> None:
    spelled = SMALLEST.replace(".0", ".50")  # entries of skipped blocks do not count
    path = write(tmp_path, HEADER, ROW.replace(LARGEST, spelled))
    assert read_rows(path, SPACE)["subnet"].tolist() == [SMALLEST]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1.5,", ",fast,", r"rows\.csv line 3: latency_ms must be a positive number, got 'fast'"),
        (",1.5,", ",nan,", "line 3: latency_ms must be a positive number, got 'nan'"),
        (",1.5,", ",inf,", "line 3: latency_ms must be a positive number, got 'inf'"),
        (",1.5,", ",-1.5,", "line 3: latency_ms must be a positive number, got '-1.5'"),
        (",1.5,", ",0,", "line 3: latency_ms must be a positive number, got '0'"),
        (",1.5,", ",,", "line 3: latency_ms must be a positive number, got an empty cell"),
        (",7.25,", ",0.0,", "line 3: energy_mj must be a positive number, got '0.0'"),
        (",7.25,", ",x,", "line 3: energy_mj must be a positive number, got 'x'"),
        (",7.25,", ",NaN,", "line 3: energy_mj must be a positive number, got 'NaN'"),
        (",1109.25,", ",-1,", "line 3: gpu_mhz must be a positive number, got '-1'"),
        (",14,", ",1.5,", "line 3: level must be a whole number, got '1.5'"),
        (",14,", ",-1,", "line 3: level must be a number of at least 0, got '-1'"),
        (LARGEST, "d9", r"line 3: subnet: 'd9' is no subnet of resnet-digits: expected 'd2\."),
        (LARGEST, "", "line 3: subnet: '' is no subnet"),
        (LARGEST, "d9" + LARGEST[2:], r"line 3: subnet: depth0 .* must be one of \(1, 2\), got 9"),
        ("0+3", "0+4", r"line 3: heads must lie in 0\.\.3, got '0\+4'"),
        ("0+3", "all", r"line 3: heads must look like 0\+2, got 'all'"),
        ("resnet-digits", "nasbench201", "line 3: space must be resnet-digits, got 'nasbench201'"),
        (",kept", ",kept,more", "line 3 has 10 cells, its header has 9"),
        (",14,kept", "", "line 3 has 7 cells, its header has 9"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_rows(write(tmp_path, HEADER, ROW, ROW.replace(old, new)), SPACE)


def test_a_row_needs_a_clock_or_a_level(tmp_path: Path) -> None:
    row = ROW.replace("1109.25", "").replace("14", "")
    with pytest.raises(TableError, match="line 2: gpu_mhz or level must be given"):
        read_rows(write(tmp_path, HEADER, row), SPACE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.encode(), "has a header but no rows"),
        (b"space,subnet\nx,y\n", r"lacks the column\(s\) device, gpu_mhz or level, latency_ms; fo"),
        (b"space,space\nx,y\n", "repeats a column"),
        (b"\xff\x00space", "is no CSV text in UTF-8"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=rf"rows\.csv.*{message}"):
        read_rows(path, SPACE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none\.csv does not exist"):
        read_rows(tmp_path / "none.csv", SPACE)


def test_parquet_is_read_or_asks_for_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 no more")
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(TableError, match=r"needs pyarrow: pip install .*, or write CSV"):
            read_rows(path, SPACE)
        return
    with pytest.raises(TableError, match="no readable Parquet file"):
        read_rows(path, SPACE)
    expected = read_rows(write(tmp_path, HEADER, ROW), SPACE)
    expected.to_parquet(path)
    pd.testing.assert_frame_equal(read_rows(path, SPACE), expected)


@pytest.mark.parametrize(
    ("n_rows", "n_subnets", "enough"), [(8, 5, True), (7, 7, False), (9, 4, False)]
)
def test_few_target_rows_are_refused(n_rows: int, n_subnets: int, enough: bool) -> None:
    rows = pd.DataFrame({"subnet": [str(i % n_subnets) for i in range(n_rows)]})
    if enough:
        check_target_rows(rows)
    else:
        with pytest.raises(TableError, match=f"got {n_rows} rows with {n_subnets}"):
            check_target_rows(rows)


def test_parquet_with_text_that_is_none(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet: needs nas[parquet]")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet: needs nas[parquet]")
    text = arrow.array([b"\xff"]).view(arrow.string())
    parquet.write_table(arrow.table({"space": text}), tmp_path / "rows.parquet")
    with pytest.raises(TableError, match="is no readable Parquet file: "):
        read_rows(tmp_path / "rows.parquet", SPACE)
