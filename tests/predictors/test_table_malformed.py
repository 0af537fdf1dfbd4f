"""Whatever is wrong with a table, it is read or refused by one TableError of one line."""

from __future__ import annotations

import importlib.util
import string
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors import TableError, read_rows, read_subnets
from search_spaces import get_space

SPACE = get_space("resnet-digits")
HEADER = ["space", "subnet", "heads", "device", "level", "latency_ms", "energy_mj", "n_runs"]
SUBNETS = [str(s) for s in SPACE.subnets(SPACE.sample(4, np.random.default_rng(0)))]
BODY = [["resnet-digits", s, "0+3", "nx", str(i), f"1.{i}", "", "9"] for i, s in enumerate(SUBNETS)]
SNIPPETS = [
    *("nan", "inf", "-inf", "-1", "0", "1e999", "1,234.5", "1.234,5", "1_000", "0x1F", "1e-320"),
    *("", " ", "NULL", "True", "٣", "1+2j", "9" * 40, '"', '""', "\0", "é", "\n", "\r", "a\nb"),
    *("0+9", "-1+2", "9" * 5000, "d1", "=1+1", "\ufeff", "1.5 ms", ";", "\t", ","),
]
text = st.sampled_from(SNIPPETS) | st.text(max_size=8) | st.text(string.digits + ".-e+", max_size=8)


@st.composite
def mutated(draw: Callable) -> bytes:
    """A good table with some cells, rows, columns or bytes changed."""
    table = [list(row) for row in (HEADER, *BODY)]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, len(table) - 1))
        kind = draw(st.sampled_from(["cell", "drop", "repeat", "longer", "shorter", "column"]))
        if kind == "cell" and table[row]:
            table[row][draw(st.integers(0, len(table[row]) - 1))] = draw(text)
        elif kind == "drop" and len(table) > 1:
            del table[row]
        elif kind == "repeat":
            table.insert(row, list(table[row]))
        elif kind == "longer":
            table[row].append(draw(text))
        elif kind == "shorter":
            del table[row][-1:]
        elif kind == "column":
            column = draw(st.integers(0, len(HEADER) - 1))
            table = [r[:column] + r[column + 1 :] for r in table]
    data = "\n".join(",".join(row) for row in table).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 40)) :]
    return draw(st.sampled_from([data, data.replace(b"\n", b"\r\n"), data.replace(b",", b";")]))


@given(mutated(), st.sampled_from([read_rows, read_subnets]))
def test_a_mutated_table_is_read_or_refused(data: bytes, read: Callable) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(data)
        rows, refusal = None, ""
        try:
            rows = read(path, SPACE)
        except TableError as error:
            refusal = str(error)
    if rows is None:
        assert "rows.csv" in refusal
        assert "\n" not in refusal
        assert len(refusal) < 1000
        return
    SPACE.parse_all(rows["subnet"].tolist())
    if read is read_rows:
        assert np.isfinite(rows["latency_ms"]).all()
        assert (rows["latency_ms"] > 0).all()


def test_the_table_that_is_mutated_is_good(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(",".join(row) for row in (HEADER, *BODY)))
    assert len(read_rows(path, SPACE)) == len(BODY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.2,", '"1,234.5",', r"line 4: latency_ms must be .*, got '1,234\.5'; write it without"),
        (",nx,2,", ",,2,", "line 4: device must be a name, got an empty cell"),
        (",nx,2,", f",nx,{'9' * 30},", "line 4: level must be a whole number"),
        (",heads,", ",subnet,", "line 1 repeats a column in its header: 'subnet'"),
        (",9\n", ",9,9\n", "line 2 has 9 cells, its header has 8"),
        (",latency_ms", ",latency", r"lacks the column\(s\) latency_ms; found space, subnet"),
    ],
)
def test_a_fault_is_named_by_line_and_column(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    good = "\n".join(",".join(row) for row in (HEADER, *BODY)) + "\n"
    assert old in good
    path = tmp_path / "rows.csv"
    path.write_text(good.replace(old, new, 1))
    with pytest.raises(TableError, match=rf"rows\.csv .*{message}"):
        read_rows(path, SPACE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("é,b\n1,2\n".encode("latin-1"), "line 1 is no CSV text in UTF-8: byte 0xe9"),
        (b"a,b\n1,2\n3,\xff\n", "line 3 is no CSV text in UTF-8: byte 0xff"),
        ("a,b\n".encode("utf-16"), "lacks the column"),
        (bytes(range(256)) * 9, "line 2 is no CSV text in UTF-8"),
        (b"a;b;c\n1;2;3\n", "lacks the column.* found a, b, c"),
        (b"a\tb\n1\t2\n", "lacks the column.* found a, b"),
        (b'a,b\n"' + b"x" * 200_000 + b'",2\n', "line 2 is no CSV text: field larger"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(data)
    with pytest.raises(TableError, match=rf"rows\.csv {message}"):
        read_rows(path, SPACE)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is a folder; give a CSV or Parquet file"):
        read_rows(tmp_path, SPACE)


@pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="needs pyarrow")
@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("latency_ms", [1.0, None], "row 2: latency_ms must be a positive number, got an empty"),
        ("latency_ms", ["fast", "1"], "row 1: latency_ms must be a positive number, got 'fast'"),
        ("latency_ms", [[1.0], [2.0]], r"row 1: latency_ms must be a positive number, got '\[1"),
        ("subnet", ["d9", "d9"], "row 1: subnet: 'd9' is no subnet"),
        ("heads", ["0", "7"], r"row 2: heads must lie in 0\.\.3, got '7'"),
    ],
)
def test_faults_of_parquet_are_named_by_row(
    tmp_path: Path, column: str, values: list, message: str
) -> None:
    table = pd.DataFrame(BODY[:2], columns=HEADER).assign(**{column: values})
    table.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(TableError, match=rf"rows\.parquet {message}"):
        read_rows(tmp_path / "rows.parquet", SPACE)


def test_programs_to_predict_need_no_costs(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f"note,subnet,level\na,{SUBNETS[0]},3\nb,{SUBNETS[1]},\n")
    programs = read_subnets(path, SPACE)
    assert programs["note"].tolist() == ["a", "b"]
    assert programs["level"].isna().tolist() == [False, True]
    path.write_text(f"space,subnet\nresnet-cifar,{SUBNETS[0]}\n")
    with pytest.raises(TableError, match=r"in\.csv line 2: space must be resnet-digits"):
        read_subnets(path, SPACE)
