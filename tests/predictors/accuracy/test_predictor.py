"""Accuracy tables are read or refused; unseen subnets are predicted well, fast, and from files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors import (
    AccuracyPredictor,
    AccuracyTable,
    ArtifactError,
    TableError,
    lookup,
    read_accuracy_table,
)
from search_spaces import PolicyGrid, get_space
from tests.predictors.synthetic import accuracy_table

SPACE = get_space("resnet-digits")
SHIPPED = Path(__file__).parents[3] / "supernets/zoo/resnet-cifar10/accuracy.safetensors"
FLAT = get_space("nasbench201")
THRESHOLDS = (0.6, 0.9)
TABLE = accuracy_table(SPACE, 120, thresholds=THRESHOLDS)
UNSEEN = accuracy_table(SPACE, 60, thresholds=THRESHOLDS, seed=1)


@pytest.fixture(scope="module")
def fitted() -> AccuracyPredictor:
    return AccuracyPredictor(SPACE, regressor="kernel").fit(TABLE)


# ---- prediction ------------------------------------------------------------------------------


@pytest.mark.parametrize("regressor", ["kernel", "xgboost"])
def test_held_out_subnets_are_predicted(regressor: str) -> None:
    found = AccuracyPredictor(SPACE, regressor=regressor).cross_validate(TABLE)
    assert found["srcc"] > 0.9
    assert found["mae_pct"] < 1
    assert found["rate_mae"] < 0.02
    assert found["mape_pct"] < 15


def test_predictions_are_errors_and_rates(fitted: AccuracyPredictor) -> None:
    error, rate = fitted.predict(SPACE.sample(200, np.random.default_rng(2)))
    grid = TABLE.grid
    assert error.shape == (200, len(grid))
    assert rate.shape == (200, len(grid), SPACE.n_exits + 1)
    assert error.dtype == rate.dtype == np.float32
    assert ((error >= 0) & (error <= 100)).all()
    np.testing.assert_allclose(rate.sum(axis=2), 1, atol=1e-5)
    assert (rate[:, grid.route < 0] == 0).all()
    assert (rate[:, 0, -1] == 1).all()  # policy 0 takes no early exit


@pytest.mark.filterwarnings("error")
def test_one_subnet_is_predicted_as_it_is() -> None:
    """A specialised network: nothing can be held out."""
    one = TABLE[np.array([3])]
    error, rate = AccuracyPredictor(SPACE).fit(one).predict(one.genes)
    np.testing.assert_allclose(error, one.top1_error_pct, atol=1e-3)
    np.testing.assert_allclose(rate, one.exit_rate, atol=1e-5)
    assert AccuracyPredictor(SPACE).cross_validate(one) == {}


def test_auto_takes_the_better_regressor() -> None:
    auto = AccuracyPredictor(SPACE).fit(TABLE)
    gap = {
        kind: AccuracyPredictor(SPACE, regressor=kind).cross_validate(TABLE, n_splits=3)["mae_pct"]
        for kind in ("kernel", "xgboost")
    }
    assert auto.kind_ == min(gap, key=gap.__getitem__)
    with pytest.raises(ValueError, match="regressor must be auto, kernel or xgboost, got 'mlp'"):
        AccuracyPredictor(SPACE, regressor="mlp").fit(TABLE)


def test_evaluated_subnets_answer_with_their_own_row(fitted: AccuracyPredictor) -> None:
    genes = np.concatenate([TABLE.genes[[5, 3]], UNSEEN.genes])
    error, rate, measured = lookup(TABLE, fitted, genes)
    assert measured[:2].all()
    assert not measured.all()
    np.testing.assert_array_equal(error[:2], TABLE.top1_error_pct[[5, 3]])
    np.testing.assert_array_equal(rate[:2], TABLE.exit_rate[[5, 3]])
    np.testing.assert_array_equal(error[~measured], fitted.predict(genes[~measured])[0])
    assert np.abs(error[2:] - UNSEEN.top1_error_pct).mean() < 1.5


def test_a_predictor_of_another_table_is_refused(fitted: AccuracyPredictor) -> None:
    other = AccuracyTable(TABLE.genes, TABLE.grid, TABLE.top1_error_pct, TABLE.exit_rate)
    with pytest.raises(ArtifactError, match="fitted on another accuracy table or supernet"):
        lookup(other, fitted, TABLE.genes)


def test_a_hundred_subnets_under_729_policies_take_a_moment() -> None:
    space = get_space("resnet-cifar")
    table = accuracy_table(space, 60)
    fitted = AccuracyPredictor(space, regressor="kernel").fit(table)
    genes = space.sample(100, np.random.default_rng(3))
    times = []
    for _ in range(5):
        start = time.process_time()
        error, _, _ = lookup(table, fitted, genes)
        times.append(time.process_time() - start)
    assert error.shape == (100, 729)
    assert min(times) < 0.1  # 0.01 s of one core alone


def test_a_handful_of_rows_is_enough_to_answer() -> None:
    few = TABLE[np.arange(3)]
    error, rate = AccuracyPredictor(SPACE).fit(few).predict(UNSEEN.genes)
    assert np.isfinite(error).all()
    np.testing.assert_allclose(rate.sum(axis=2), 1, atol=1e-5)


# ---- predictor files -------------------------------------------------------------------------


@pytest.mark.parametrize("regressor", ["kernel", "xgboost"])
def test_a_saved_predictor_predicts_the_same(regressor: str, tmp_path: Path) -> None:
    fitted = AccuracyPredictor(SPACE, regressor=regressor).fit(TABLE)
    fitted.save(tmp_path)
    loaded = AccuracyPredictor.load(tmp_path, SPACE)
    for mine, theirs in zip(
        lookup(TABLE, fitted, UNSEEN.genes), lookup(TABLE, loaded, UNSEEN.genes), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert loaded.kind_ == regressor
    assert not list(tmp_path.glob("*.tmp"))


def test_a_predictor_that_does_not_fit_is_refused(
    fitted: AccuracyPredictor, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    with pytest.raises(ArtifactError, match="is for space resnet-digits, asked nasbench201"):
        AccuracyPredictor.load(tmp_path, FLAT)
    arrays = tmp_path / "accuracy_predictor.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"accuracy_predictor\.safetensors differs from its"):
        AccuracyPredictor.load(tmp_path, SPACE)


# ---- tables of supernets ---------------------------------------------------------------------


def write_table(path: Path, **changes: object) -> Path:
    """TABLE as `supernets.evaluate` writes it; `changes` go to the tensors or the description."""
    tensors = {
        "top1_error_pct": TABLE.top1_error_pct,
        "exit_rate": TABLE.exit_rate.astype(np.float16),
    }
    described = {
        "schema": "nas.accuracy/1",
        "subnets": [str(s) for s in SPACE.subnets(TABLE.genes)],
        "n_exits": SPACE.n_exits,
        "thresholds": THRESHOLDS,
        "source": "measured",
        "split": "validation",
        "n_images": 400,
        "n_bn_images": 100,
        "supernet_sha256": "weights",
        "temperatures": [1.0, 1.1, 1.2, 1.3],
    }
    tensors |= {k: v for k, v in changes.items() if k in tensors}
    described |= {k: v for k, v in changes.items() if k not in tensors}
    described = {k: v for k, v in described.items() if v is not None}
    path.write_bytes(safetensors.numpy.save(tensors, {"json": json.dumps(described)}))
    return path


def test_a_table_is_read_with_rates_that_sum_to_one(tmp_path: Path) -> None:
    table = read_accuracy_table(write_table(tmp_path / "accuracy.safetensors"), SPACE)
    np.testing.assert_array_equal(table.genes, TABLE.genes)
    np.testing.assert_array_equal(table.top1_error_pct, TABLE.top1_error_pct)
    np.testing.assert_allclose(table.exit_rate, TABLE.exit_rate, atol=1e-3)
    np.testing.assert_allclose(table.exit_rate.sum(axis=2), 1, atol=1e-6)
    assert (table.split, table.n_images, table.source) == ("validation", 400, "measured")
    assert table.temperatures == (1.0, 1.1, 1.2, 1.3)
    assert table.supernet_sha256 == "weights"
    assert len(table.sha256) == 64


NAN_ERROR = np.where(np.arange(len(TABLE))[:, None] == 3, np.nan, TABLE.top1_error_pct)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "nas.accuracy/2"}, "has schema 'nas.accuracy/2', expected 'nas.accuracy/1'"),
        ({"space": "resnet-cifar"}, "is a table of resnet-cifar"),
        ({"n_images": None}, "lacks 'n_images'"),
        ({"subnets": ["d9"]}, "does not fit resnet-digits: 'd9' is no subnet"),
        ({"subnets": [str(SPACE.subnet(SPACE.largest))] * len(TABLE)}, "holds a subnet twice"),
        ({"n_exits": 1}, "with 1 early exits; resnet-digits has 3"),
        ({"thresholds": [0.5]}, r"top1_error_pct has shape \(\d+, 27\), expected \(\d+, 8\)"),
        ({"top1_error_pct": TABLE.top1_error_pct * 10}, "values outside 0..100"),
        ({"top1_error_pct": NAN_ERROR}, "values outside 0..100"),
        ({"exit_rate": TABLE.exit_rate / 2}, "negative or do not sum to 1"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_accuracy_table(write_table(tmp_path / "accuracy.safetensors", **changes), SPACE)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.safetensors"
    with pytest.raises(TableError, match="does not exist"):
        read_accuracy_table(path, SPACE)
    whole = write_table(path).read_bytes()
    for broken in (b"", whole[:100], whole[:-10], b"subnet,top1_error_pct\n"):
        path.write_bytes(broken)
        with pytest.raises(TableError, match="is no readable safetensors file"):
            read_accuracy_table(path, SPACE)
    path.write_bytes(safetensors.numpy.save({"x": np.zeros(1)}))
    with pytest.raises(TableError, match="has schema None"):
        read_accuracy_table(path, SPACE)


# ---- tables of spaces without exits ----------------------------------------------------------


def write_csv(folder: Path, *lines: str) -> Path:
    path = folder / "accuracy.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_csv_is_a_table_with_one_policy(tmp_path: Path) -> None:
    lines = (
        "o3.3.3.3.3.3,5.5,published",
        "o0.0.0.1.0.0,60,published",
        "o3.3.3.3.3.3,5.5,published",
    )
    table = read_accuracy_table(write_csv(tmp_path, "subnet,top1_error_pct,source", *lines), FLAT)
    assert table.top1_error_pct.tolist() == [[5.5], [60.0]]
    assert table.exit_rate.tolist() == [[[1.0]], [[1.0]]]
    assert len(table.grid) == 1
    assert table.source == "published"
    np.testing.assert_array_equal(table.genes[0], FLAT.largest[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("o3.3.3.3.3.3,-1", "line 3: top1_error_pct must be a number of at least 0, got '-1'"),
        ("o3.3.3.3.3.3,101", "line 3: top1_error_pct must be at most 100, got 101"),
        ("o3.3.3.3.3.3,", "line 3: top1_error_pct must be .* got an empty cell"),
        ("o3.3.3.3.3.3,nan", "line 3: top1_error_pct must be .* got 'nan'"),
        ("o9.3.3.3.3.3,5", "line 3: subnet: op0 of nasbench201 must be one of"),
        ("o0.0.0.1.0.0,5", "line 3: top1_error_pct of o0.0.0.1.0.0 is 5, but 60 on line 2"),
    ],
)
def test_a_bad_csv_is_refused(tmp_path: Path, line: str, message: str) -> None:
    path = write_csv(tmp_path, "subnet,top1_error_pct", "o0.0.0.1.0.0,60", line)
    with pytest.raises(TableError, match=message):
        read_accuracy_table(path, FLAT)


def test_sources_do_not_mix_and_exits_need_rates(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path, "subnet,top1_error_pct,source", "o0.0.0.1.0.0,60,a", "o3.3.3.3.3.3,5,b"
    )
    with pytest.raises(TableError, match=r"source must be one word for all rows, found \['a', 'b'"):
        read_accuracy_table(path, FLAT)
    with pytest.raises(TableError, match=r"resnet-digits has early exits, .* \.safetensors"):
        read_accuracy_table(path, SPACE)


def test_a_space_without_exits_is_a_plain_regression() -> None:
    rng = np.random.default_rng(0)
    genes = np.unique(FLAT.sample(200, rng), axis=0)
    error = (10 + 60 * np.exp(-(genes == 3).sum(axis=1) - 0.5 * (genes == 2).sum(axis=1)))[:, None]
    ones = np.ones((len(genes), 1, 1), dtype=np.float32)
    table = AccuracyTable(genes, PolicyGrid(0), error.astype(np.float32), ones)
    assert AccuracyPredictor(FLAT, regressor="kernel").cross_validate(table)["srcc"] > 0.85
    predicted, rate = AccuracyPredictor(FLAT).fit(table).predict(FLAT.largest)
    assert predicted.shape == (1, 1)
    assert rate.tolist() == [[[1.0]]]


# ---- damage, and figures under another name ------------------------------------------------------


@given(bit=st.integers(0, 2**40))
@settings(max_examples=60)
def test_a_flipped_bit_of_a_table_is_refused_or_says_nothing(bit: int) -> None:
    """Of 300 flips 204 were taken before the checksum was read: errors moved by up to 50 points."""
    data = bytearray(SHIPPED.read_bytes())
    bit %= 8 * len(data)
    data[bit // 8] ^= 1 << bit % 8
    with TemporaryDirectory() as folder:
        path = Path(folder) / "accuracy.safetensors"
        path.write_bytes(data)
        with pytest.raises(TableError) as caught:
            read_accuracy_table(path, get_space("resnet-cifar"))
    assert "\n" not in str(caught.value)


def test_a_table_without_a_checksum_is_read_with_a_remark(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="has no checksum, so damage would not be seen"):
        read_accuracy_table(write_table(tmp_path / "accuracy.safetensors"), SPACE)


def cifar_csv(path: Path, errors: np.ndarray, column: str = "top1_error_pct") -> Path:
    space = get_space("nasbench201")
    subnets = space.subnets(space.sample(len(errors), np.random.default_rng(0)))
    rows = dict(zip(map(str, subnets), errors, strict=True))
    path.write_text(f"subnet,{column}\n" + "".join(f"{s},{float(e)!r}\n" for s, e in rows.items()))
    return path


@given(seed=st.integers(0, 1000), accurate=st.booleans())
@settings(max_examples=20)
def test_a_fraction_and_an_accuracy_are_named(seed: int, accurate: bool) -> None:
    errors = np.random.default_rng(seed).uniform(5.5, 12, 40)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        wrong = 100 - errors if accurate else errors / 100
        words = "is it an accuracy" if accurate else "looks like a fraction"
        with pytest.raises(TableError, match=f"{words}.*top1_acc_pct"):
            read_accuracy_table(cifar_csv(path, wrong), get_space("nasbench201"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: np.where(np.arange(30) < 3, e / 100, e), "line 2: .* a fraction among percents"),
        (lambda e: 0 * e, "is 0 in all 30 rows"),
    ],
)
def test_some_fractions_and_empty_columns_are_named(
    tmp_path: Path, change: Any, message: str
) -> None:
    errors = np.random.default_rng(0).uniform(20, 45, 30)
    with pytest.raises(TableError, match=message):
        read_accuracy_table(cifar_csv(tmp_path / "a.csv", change(errors)), get_space("nasbench201"))


def test_a_row_worse_than_guessing_is_a_warning(tmp_path: Path) -> None:
    errors = np.linspace(5, 95, 30)
    with pytest.warns(UserWarning, match=r"line 31: top1_error_pct is 95, worse than guessing"):
        read_accuracy_table(cifar_csv(tmp_path / "a.csv", errors), get_space("nasbench201"))


@pytest.mark.parametrize(
    ("column", "make"),
    [
        ("top1_acc_pct", lambda e: 100 - e),
        ("Top-1 accuracy (%)", lambda e: 100 - e),
        ("top1_error", lambda e: e / 100),
        ("top1_acc", lambda e: 1 - e / 100),
    ],
)
def test_a_name_that_says_what_it_holds_is_taken(tmp_path: Path, column: str, make: Any) -> None:
    errors = np.linspace(5, 60, 30)
    space = get_space("nasbench201")
    known = read_accuracy_table(cifar_csv(tmp_path / "a.csv", errors), space)
    other = read_accuracy_table(cifar_csv(tmp_path / "b.csv", make(errors), column), space)
    np.testing.assert_allclose(known.top1_error_pct, other.top1_error_pct, rtol=1e-6)
