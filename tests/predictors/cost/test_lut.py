"""Look-up tables: keys that are read back, sums, the two fitted numbers, once-for-all's files."""

from __future__ import annotations

import csv
import gzip
import os
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from warnings import catch_warnings, simplefilter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from predictors import (
    LutPredictor,
    Operator,
    mape_pct,
    ofa_keys,
    programs_of,
    read_ofa_lut,
    srcc,
    write_ofa_lut,
)
from search_spaces import InputError, get_space

CIFAR = get_space("resnet-cifar")
whole = st.integers(1, 4096)
operators = st.builds(
    Operator,
    st.sampled_from(["conv", "depthwise", "linear", "pool", "scale"]),
    *[whole] * 5,
    st.booleans(),
)


@given(operators)
def test_a_key_reads_back(operator: Operator) -> None:
    assert Operator.parse(str(operator)) == operator


@pytest.mark.parametrize("text", ["", "conv", "conv-input:8x4x3-output:8x8x3-kernel:3-residual:0"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(
        InputError, match="is no operator, expected for example conv-input:32x32x16"
    ):
        Operator.parse(text)


@pytest.mark.parametrize("name", ["resnet-cifar", "ofa-mobilenetv3-x1.3", "ofa-resnet50"])
def test_programs_hold_every_operator_that_is_there(name: str) -> None:
    space = get_space(name)
    rng = np.random.default_rng(0)
    heads = rng.random((6, space.n_exits + 1)) < 0.5
    heads[~heads.any(axis=1), 0] = True
    arrays = space.operators(space.sample(6, rng), heads)
    for i, program in enumerate(programs_of(arrays)):
        assert len(program) == arrays.present[i].sum()
        outputs = sum(o.c_out * o.side_out**2 for o in program)
        assert outputs == (arrays.c_out[i] * arrays.side_out[i] ** 2).sum()
        assert sum(o.residual for o in program) == arrays.residual[i].sum()


def cifar_programs(n: int) -> list[list[Operator]]:
    heads = np.ones((n, 4), dtype=bool)
    return programs_of(CIFAR.operators(CIFAR.sample_spread(n, np.random.default_rng(1)), heads))


def test_scale_and_time_per_kernel_are_found() -> None:
    listed = cifar_programs(60)
    lut = {str(o): 1e-3 * o.c_in**0.5 * o.side_out for program in listed for o in program}
    model = LutPredictor(lut)
    sums = np.array([sum(lut[str(o)] for o in program) for program in listed])
    np.testing.assert_allclose(model.sums(listed), sums)
    y = 1.7 * sums + 0.02 * np.array([len(p) for p in listed])
    model.fit(listed[:10], y[:10])
    assert (model.scale_, model.kernel_ms_) == pytest.approx((1.7, 0.02))
    np.testing.assert_allclose(model.predict(listed), y)
    assert clone(model).get_params()["lut"] == lut


def test_a_negative_time_per_kernel_is_not_fitted() -> None:
    listed = cifar_programs(20)
    lut = {str(o): 1.0 for program in listed for o in program}
    y = np.linspace(5, 1, 20)
    model = LutPredictor(lut).fit(listed, y)
    assert min(model.scale_, model.kernel_ms_) >= 0


def test_misuse_is_one_line() -> None:
    listed = cifar_programs(3)
    with pytest.raises(InputError, match=r"table of 0 operators has no conv-input.*--per-operator"):
        LutPredictor({}).sums(listed)
    with pytest.raises(NotFittedError):
        LutPredictor({}).predict(listed)
    with pytest.raises(InputError, match="at least two programs with positive latencies, got 1"):
        LutPredictor({}).fit(listed[:1], [1.0])


# ---- once-for-all's format -----------------------------------------------------------------------

TABLE = {"Conv-input:224x224x3-output:112x112x16": {"mean": 1.5, "std": 0.25, "count": 3}}


def test_tables_read_back(tmp_path: Path) -> None:
    tables = {160: TABLE, 224: {**TABLE, "Logits-input:1x1x1280-output:1000": {"mean": 1e-05}}}
    write_ofa_lut(tmp_path / "lut", tables)
    assert read_ofa_lut(tmp_path / "lut") == tables
    assert read_ofa_lut(tmp_path / "lut" / "160_lookup_table.yaml") == {160: TABLE}
    assert "!" not in (tmp_path / "lut" / "224_lookup_table.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "", "must be named RESOLUTION_lookup_table.yaml"),
        ("9_lookup_table.yaml", "", "is no table of operators"),
        ("9_lookup_table.yaml", "Conv: [", "cannot read .*9_lookup_table.yaml"),
        ("9_lookup_table.yaml", "Conv: {std: 1}", "Conv needs a mean in ms, got"),
        ("9_lookup_table.yaml", "Conv: {mean: .nan}", "Conv needs a mean in ms, got"),
        ("9_lookup_table.yaml", "Conv: 3", "Conv needs a mean in ms, got 3"),
        ("9_lookup_table.yaml", "!!python/object/apply:os.getcwd []", "cannot read"),
    ],
)
def test_damaged_tables_are_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_ofa_lut(tmp_path / name)
    assert "\n" not in str(caught.value)


PROXYLESS = "expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0"


@pytest.mark.parametrize(
    ("name", "key", "family"),
    [
        ("224_lookup_table.yaml", PROXYLESS, "ProxylessNAS"),
        ("mobile_trim.yaml", PROXYLESS, "ProxylessNAS"),
        (
            "224_lookup_table.yaml",
            "conv-input:8x8x3-output:8x8x8-kernel:3-residual:0",
            "per-operator",
        ),
        ("224_lookup_table.yaml", "MBConv_3x3_e6", "another family .key 'MBConv_3x3_e6'"),
    ],
)
def test_a_table_of_another_family_is_named_as_such(
    tmp_path: Path, name: str, key: str, family: str
) -> None:
    (tmp_path / name).write_text(f"{key}: {{mean: 1.0}}\n")
    with pytest.raises(
        InputError, match=f"{name} is a table of .*{family}.*has keys like expanded"
    ):
        read_ofa_lut(tmp_path / name)


@pytest.mark.parametrize("text", ["[" * 200000, "{a: " * 200000, "- " * 100000, "? " * 100000])
def test_deep_nesting_does_not_end_the_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "9_lookup_table.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_ofa_lut(tmp_path)
    assert "\n" not in str(caught.value)


def test_references_are_not_followed(tmp_path: Path) -> None:
    """A thousand million entries can be written in a few lines."""
    lines = ["Conv: &a0 {mean: 1}", *(f"x{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30))]
    (tmp_path / "9_lookup_table.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"has a reference \(\*a0\); write the table out"):
        read_ofa_lut(tmp_path)


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no RESOLUTION_lookup_table"):
        read_ofa_lut(tmp_path)


def test_keys_are_those_of_once_for_all() -> None:
    """The first and the last ones of the published configuration, written out by hand."""
    space = get_space("ofa-mobilenetv3")
    d = [4, 3, 2, 2, 2]
    keys = ofa_keys(space, space.from_ofa({"ks": [3] * 20, "e": [6] * 20, "d": d, "r": [224]}))
    assert len(keys) == 2 + sum(d) + 4
    assert keys[:4] == [
        "Conv-input:224x224x3-output:112x112x16",
        "expanded_conv-input:112x112x16-output:112x112x16"
        "-expand:16-kernel:3-stride:1-idskip:1-se:0-hs:0",
        "expanded_conv-input:112x112x16-output:56x56x24"
        "-expand:96-kernel:3-stride:2-idskip:0-se:0-hs:0",
        "expanded_conv-input:56x56x24-output:56x56x24"
        "-expand:144-kernel:3-stride:1-idskip:1-se:0-hs:0",
    ]
    assert keys[-5:] == [
        "expanded_conv-input:7x7x160-output:7x7x160"
        "-expand:960-kernel:3-stride:1-idskip:1-se:1-hs:1",
        "Conv_1-input:7x7x160-output:7x7x960",
        "AvgPool2D-input:7x7x960-output:1x1x960",
        "Conv_2-input:1x1x960-output:1x1x1280",
        "Logits-input:1x1x1280-output:1000",
    ]


DATA = Path(os.environ.get("NAS_OFA_LATENCIES", ""))


@pytest.mark.skipif(
    "NAS_OFA_LATENCIES" not in os.environ, reason="NAS_OFA_LATENCIES names no folder"
)
def test_a_published_table_predicts_published_subnets(tmp_path: Path) -> None:
    """Dynamic-OFA's tables of a Jetson and its 13 subnets, measured from end to end there."""
    tables: dict[int, dict[str, dict[str, float]]] = defaultdict(dict)
    with gzip.open(DATA / "dynamicofa_jetson_gpu_block_lut.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            entry = {"mean": float(row["mean_ms"]), "std": float(row["std_ms"])}
            tables[int(row["resolution"])][row["block"]] = entry | {"count": int(row["count"])}
    write_ofa_lut(tmp_path, tables)
    read = read_ofa_lut(tmp_path)
    assert read == tables
    lut = {key: entry["mean"] for table in read.values() for key, entry in table.items()}

    space = get_space("ofa-mobilenetv3-w1.2")
    with (DATA / "dynamicofa_jetson_library.csv").open() as file:
        rows = list(csv.DictReader(file))
    configs = [
        {k: [int(v) for v in row[k].split("-")] for k in ("ks", "e", "d")} | {"r": int(row["r"])}
        for row in rows
    ]
    listed = [ofa_keys(space, space.from_ofa(config)) for config in configs]
    y = np.array([float(row["latency_ms"]) for row in rows])
    model = LutPredictor(lut)
    sums = model.sums(listed)
    assert ((y / sums > 1.7) & (y / sums < 2.3)).all()  # eager calls between blocks are not in it
    assert mape_pct(y, model.fit(listed[::2], y[::2]).predict(listed)) < 8
    assert srcc(y, sums) > 0.9


@given(factor=st.sampled_from([1e-3, 1, 1e3]), ms=st.floats(0.02, 7))
@settings(max_examples=20)
def test_a_table_in_another_unit_is_refused(factor: float, ms: float) -> None:
    """The block of 8 million multiplications of a fast and of a slow device, in s, ms and us."""
    key = "expanded_conv-input:112x112x16-output:112x112x16-expand:16-kernel:3-stride:1-idskip:1"
    with TemporaryDirectory() as folder, catch_warnings(record=True) as said:
        simplefilter("always")
        path = Path(folder) / "224_lookup_table.yaml"
        path.write_text(f"{key}-se:0-hs:0: {{mean: {ms * factor!r}}}\n")
        try:
            read_ofa_lut(path)
            words = " ".join(str(one.message) for one in said)
        except InputError as error:
            words = str(error)
    unit = {1e-3: " seconds", 1: "", 1e3: " microseconds"}[factor]
    assert (unit in words) if unit else words == ""
