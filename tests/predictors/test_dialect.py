"""CSV as Excel, pandas and hands write it: the same rows, or one line."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors import TableError, read_rows
from search_spaces import get_space

SPACE = get_space("resnet-digits")
SUBNETS = [str(s) for s in SPACE.subnets(SPACE.sample(4, np.random.default_rng(0)))]
PLAIN = pd.DataFrame(
    {
        "space": SPACE.name,
        "subnet": SUBNETS,
        "device": "nx",
        "gpu_mhz": [114.75, 306.0, 510.0, 1109.25],
        "latency_ms": [0.4351, 1.25, 12.5, 0.001],
        "energy_mj": [1.5, 2.25, 3.125, 4.0],
    }
)
SPELLED = {
    "latency_ms": ("latency_ms", "Latency (ms)", "LATENCY_MS", "latency_msec"),
    "energy_mj": ("energy_mj", "Energy mJ", "energy-mj", "energy_millijoules", "energy (mWs)"),
    "gpu_mhz": ("gpu_mhz", "GPU MHz"),
}

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


def read(data: bytes) -> pd.DataFrame:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(data)
        return read_rows(path, SPACE)


@st.composite
def as_others_write(draw: Callable) -> bytes:
    """The bytes of PLAIN as another program or a hand would have written it."""
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    comma = separator != "," and draw(st.booleans())
    names = {ours: draw(st.sampled_from(spelled)) for ours, spelled in SPELLED.items()}
    text = PLAIN.rename(columns=names).to_csv(
        sep=separator,
        decimal="," if comma else ".",
        index=False,
        quoting=draw(st.sampled_from([0, 1])),
    )
    lines = text.splitlines()
    if draw(st.booleans()):  # columns that a spreadsheet appends, and a row of them
        lines = [line + 2 * separator for line in lines] + [separator * 7]
    if draw(st.booleans()):  # two files one behind the other
        lines.insert(3, lines[0])
    for at in draw(st.lists(st.integers(0, len(lines)), max_size=2)):
        lines.insert(at, draw(st.sampled_from(["", "# fan off", "#"])))
    if draw(st.booleans()):
        lines.insert(0, f"{draw(st.sampled_from(['sep', 'SEP']))}={separator}")
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\r\n", "\n"]]))
    text = "".join(line + end for line, end in zip(lines, ends * len(lines), strict=False))
    text += draw(st.sampled_from(["", "\x1a"]))
    return text.encode(draw(st.sampled_from(ENCODINGS)))


@given(as_others_write())
@settings(max_examples=25)
def test_a_table_of_another_program_is_the_same_table(data: bytes) -> None:
    rows = read(data)
    for column in ("gpu_mhz", "latency_ms", "energy_mj"):
        assert rows[column].tolist() == pytest.approx(PLAIN[column].tolist(), rel=1e-12)
    assert rows["subnet"].tolist() == SUBNETS


@given(st.sampled_from([("ms", 1.0), ("us", 1e3), ("ns", 1e6), ("s", 1e-3)]), st.booleans())
@settings(max_examples=5)
def test_a_unit_behind_the_figure_is_that_of_the_column(unit: tuple, blank: bool) -> None:
    name, factor = unit
    cells = [f"{v * factor:.12g}{' ' * blank}{name}" for v in PLAIN["latency_ms"]]
    table = PLAIN.drop(columns="latency_ms").assign(**{f"latency_{name}": cells})
    found = read(table.to_csv(index=False).encode())["latency_ms"].tolist()
    assert found == pytest.approx(PLAIN["latency_ms"].tolist())
    if name != "ms":
        with pytest.raises(TableError, match=f"line 2: latency_ms must be .*{name}'"):
            read(PLAIN.assign(latency_ms=cells).to_csv(index=False).encode())


@pytest.mark.parametrize("name", ["energy", "Power", "power consumption"])
def test_energy_without_a_unit_is_said(name: str) -> None:
    with pytest.warns(UserWarning, match=rf"column '{name}' is not read: .* rows have no energy"):
        rows = read(PLAIN.rename(columns={"energy_mj": name}).to_csv(index=False).encode())
    assert "energy_mj" not in rows


def test_a_text_that_excel_shall_not_take_for_a_date() -> None:
    rows = read(PLAIN.assign(heads='="0+1"').to_csv(index=False).encode())
    assert rows["heads"].tolist() == ["0+1"] * 4


def test_one_head_alone_is_a_number_to_pandas() -> None:
    rows = read(PLAIN.assign(heads=[0.0, 3.0, None, 1.0]).to_csv(index=False).encode())
    assert rows["heads"].tolist() == ["0", "3", "", "1"]


def test_thousands_are_not_taken_for_decimals() -> None:
    """With tabs 1,234 may be either; semicolons are there because commas are decimal."""
    cells = ["1,234", "2,345", "3,456", "4,567"]
    table = PLAIN.assign(energy_mj=cells)
    with pytest.raises(TableError, match=r"line 2: energy_mj .* '1,234'; write it without thousan"):
        read(table.to_csv(index=False, sep="\t").encode())
    assert read(table.to_csv(index=False, sep=";").encode())["energy_mj"].tolist() == [
        *(1.234, 2.345, 3.456, 4.567)
    ]


def _zipped(data: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("rows.csv", data)
    return whole.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (gzip.compress, "compressed by gzip: unpack it"),
        (_zipped, "zip archive or an Excel workbook: save the sheet as CSV"),
        (lambda _: b'[{"latency_ms": 1}]', "is JSON, HTML or XML; write the table as CSV"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (lambda _: b"SQLite format 3\0", "SQLite database"),
        (lambda _: PLAIN.T.to_csv().encode(), "in lines: transpose it"),
        (lambda data: data.replace(b"nx", "größe".encode("cp1252")), "line 2 .*as `CSV UTF-8`"),
        (lambda _: b"a,b;c\n1,2;3\n", "line 1: ',' and ';' may separate columns; use commas alone"),
        (lambda data: data.replace(b"energy_mj", b"Latency (ms)"), "two columns for latency_ms"),
        (lambda data: data.replace(b"0.4351", b"N/A"), "line 2: latency_ms must be .* 'N/A'"),
        (lambda data: data.replace(b"0.4351", b"inf"), "line 2: latency_ms must be .* 'inf'"),
        (lambda data: data.replace(b"energy_mj", b"latency_ms.1"), "two columns for latency_ms"),
        (lambda data: data.replace(b",", b" "), "; separate columns by commas"),
        (lambda data: data.replace(b"latency_ms", b"Time (ms)"), r"column 'Time \(ms\)' is not re"),
        (lambda data: data.replace(b"latency_ms", b"fps"), "'fps' is not read: what is it, in wh"),
        (lambda data: data + b"\0", "line 6 is no CSV text: a zero byte"),
    ],
)
def test_what_is_no_such_table_is_named(change: Callable, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read(change(PLAIN.to_csv(index=False).encode()))
    assert "\n" not in str(caught.value)
