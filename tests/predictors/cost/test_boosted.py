"""Boosted predictors keep scikit-learn's contract, survive files, and are fast and repeatable."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from predictors import (
    ArtifactError,
    EnergyPredictor,
    LatencyPredictor,
    load_predictor,
    mape_pct,
    rows_sha256,
    save_predictor,
)
from search_spaces import encode, get_space

SPACE = get_space("resnet-digits")


def programs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of `n` programs and a cost (n,) that is their work with a floor."""
    rng = np.random.default_rng(seed)
    genes = SPACE.sample_spread(n, rng)
    heads = rng.random((n, SPACE.n_exits + 1)) < 0.5
    heads[~heads.any(axis=1), -1] = True
    X = encode(SPACE, genes, heads)
    operators = SPACE.operators(genes, heads)
    return X, 0.1 + operators.macs.sum(axis=1) / 1e6 + 0.01 * operators.present.sum(axis=1)


@parametrize_with_checks(
    [LatencyPredictor(n_estimators=20, n_folds=2), EnergyPredictor(n_estimators=9, n_folds=0)]
)
def test_scikit_learn_contract(estimator, check) -> None:
    check(estimator)


def test_held_out_error_is_small() -> None:
    fitted = LatencyPredictor().fit(*programs(400, seed=0))
    X, y = programs(200, seed=1)
    assert mape_pct(y, fitted.predict(X)) < 5


def test_a_sum_of_work_is_found_from_few_rows_and_goes_on_beyond_them() -> None:
    X, y = programs(500, seed=0)
    order = np.argsort(y)
    fitted = LatencyPredictor(n_folds=0).fit(X[order[::10][:40]], y[order[::10][:40]])
    largest = order[-50:]
    assert y[largest].min() > y[order[390]]  # larger than every training row
    assert mape_pct(y[largest], fitted.predict(X[largest])) < 2


def test_the_unit_of_the_cost_does_not_matter() -> None:
    X, y = programs(100, seed=0)
    in_us = LatencyPredictor().fit(X, 1000 * y)
    in_ms = LatencyPredictor().fit(X, y)
    np.testing.assert_allclose(in_us.predict(X), 1000 * in_ms.predict(X), rtol=1e-3)


def test_without_folds_there_are_no_intervals() -> None:
    X, y = programs(100, seed=0)
    low, high = LatencyPredictor(n_folds=0).fit(X, y).predict_interval(X)
    assert (low == 0).all()
    assert np.isinf(high).all()


def test_groups_must_match_the_rows() -> None:
    X, y = programs(20, seed=0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LatencyPredictor().fit(X, y, np.arange(19))


@pytest.mark.parametrize("kind", [LatencyPredictor, EnergyPredictor])
def test_costs_must_be_positive(kind: type) -> None:
    with pytest.raises(ValueError, match=rf"{kind.quantity} must be positive, got .* of 0"):
        kind().fit(np.ones((3, 2)), [1.0, 0.0, 2.0])


def test_equal_rows_give_equal_trees() -> None:
    X, y = programs(100, seed=0)
    first, second = (LatencyPredictor().fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_twenty_thousand_rows_take_a_moment() -> None:
    X, y = programs(300, seed=0)
    fitted = LatencyPredictor().fit(X, y)
    many = X[np.random.default_rng(0).integers(0, len(X), 20_000)]
    start = time.process_time()
    fitted.predict(many)
    assert time.process_time() - start < 1  # 0.05 s alone; the machine may be busy


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    fitted = EnergyPredictor(n_estimators=20).fit(*programs(100, seed=0))
    save_predictor(fitted, tmp_path, SPACE, device="host", source="measured")
    return tmp_path


def test_a_saved_predictor_predicts_the_same(saved: Path) -> None:
    X, y = programs(100, seed=0)
    loaded = load_predictor(saved, "energy_mj", SPACE)
    np.testing.assert_array_equal(
        loaded.predict(X), EnergyPredictor(n_estimators=20).fit(X, y).predict(X)
    )
    assert loaded.get_params() == EnergyPredictor(n_estimators=20).get_params()
    described = json.loads((saved / "energy_mj.json").read_text())
    assert described["unit"] == "mJ"
    assert described["device"] == "host"
    assert described["n_rows"] == described["n_subnets"] == 100
    assert described["rows_sha256"] == rows_sha256(X, y)
    assert described["versions"]["xgboost"]
    assert described["versions"]["nas"]
    assert list(described["law"]) == [*described["feature_names"], "constant"]
    for coverage in (0.5, 0.9):
        ours = EnergyPredictor(n_estimators=20).fit(X, y).predict_interval(X, coverage)
        np.testing.assert_array_equal(loaded.predict_interval(X, coverage), ours)
    assert sorted(p.name for p in saved.iterdir()) == ["energy_mj.json", "energy_mj.ubj"]


def test_a_tampered_model_is_refused(saved: Path) -> None:
    model = saved / "energy_mj.ubj"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match=r"energy_mj\.ubj differs from its checksum"):
        load_predictor(saved, "energy_mj", SPACE)


def test_a_model_that_is_no_model_is_refused(saved: Path) -> None:
    (saved / "energy_mj.ubj").write_bytes(b"not trees")
    checksum = hashlib.sha256(b"not trees").hexdigest()
    edit(saved / "energy_mj.json", lambda described: described["sha256"].update(ubj=checksum))
    with pytest.raises(ArtifactError, match="no XGBoost model"):
        load_predictor(saved, "energy_mj", SPACE)


def test_other_spaces_and_missing_or_broken_files_are_refused(saved: Path) -> None:
    with pytest.raises(ArtifactError, match="is for space resnet-digits, asked resnet-cifar"):
        load_predictor(saved, "energy_mj", get_space("resnet-cifar"))
    with pytest.raises(ArtifactError, match="holds no predictor of latency_ms; `nas"):
        load_predictor(saved, "latency_ms", SPACE)
    (saved / "energy_mj.ubj").unlink()
    with pytest.raises(ArtifactError, match=r"cannot read .*energy_mj\.ubj"):
        load_predictor(saved, "energy_mj", SPACE)
    for text, reason in (
        ("{", "no JSON"),
        ("[]", "holds list, expected a JSON object"),
        ('{"schema": "x/9"}', "schema 'x/9'"),
    ):
        (saved / "energy_mj.json").write_text(text)
        with pytest.raises(ArtifactError, match=reason):
            load_predictor(saved, "energy_mj", SPACE)


@pytest.mark.parametrize(
    "field", ["sha256", "law", "law_least", "interval_log", "n_rows", "rows_sha256", "settings"]
)
def test_a_sidecar_that_lost_a_field_is_refused(saved: Path, field: str) -> None:
    edit(saved / "energy_mj.json", lambda described: described.pop(field))
    with pytest.raises(ArtifactError, match=rf"energy_mj\.json is damaged \(it lacks '{field}'\)"):
        load_predictor(saved, "energy_mj", SPACE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["feature_names"].append("more"), "other features than resnet-digits"),
        (lambda d: d["feature_names"].reverse(), "other features than resnet-digits"),
        (lambda d: d.update(schema="nas.predictor/1"), "schema 'nas.predictor/1', expected"),
        (
            lambda d: d["law"].update(constant="much"),
            r"damaged \(could not convert string to float",
        ),
        (lambda d: d["law"].pop("mmacs"), r"damaged \(it lacks 'mmacs'"),
        (lambda d: d["interval_log"].pop("0.90"), r"damaged \(it lacks '0.90'"),
        (
            lambda d: d["settings"].update(depth=3),
            r"damaged \(.*unexpected keyword argument 'depth'",
        ),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(saved: Path, change, reason: str) -> None:
    edit(saved / "energy_mj.json", change)
    with pytest.raises(ArtifactError, match=reason):
        load_predictor(saved, "energy_mj", SPACE)


def test_a_changed_sidecar_is_refused(saved: Path) -> None:
    sidecar = saved / "energy_mj.json"
    sidecar.write_text(sidecar.read_text().replace('"n_rows": 100', '"n_rows": 101'))
    with pytest.raises(ArtifactError, match=r"energy_mj\.json was changed since it was written"):
        load_predictor(saved, "energy_mj", SPACE)


def test_files_of_two_predictors_are_not_mixed(saved: Path, tmp_path: Path) -> None:
    other = LatencyPredictor(n_estimators=5).fit(*programs(50, seed=1))
    save_predictor(other, saved, SPACE)
    (saved / "latency_ms.ubj").replace(saved / "energy_mj.ubj")
    with pytest.raises(ArtifactError, match=r"energy_mj\.ubj differs from its checksum"):
        load_predictor(saved, "energy_mj", SPACE)
    (saved / "latency_ms.json").replace(saved / "energy_mj.json")
    with pytest.raises(ArtifactError, match="is for latency_ms, asked energy_mj"):
        load_predictor(saved, "energy_mj", SPACE)


def test_trees_on_other_features_are_refused(saved: Path) -> None:
    X, y = programs(50, seed=1)
    trees = bytes(LatencyPredictor(n_folds=0).fit(X[:, :3], y).model_.get_booster().save_raw("ubj"))
    (saved / "energy_mj.ubj").write_bytes(trees)
    checksum = hashlib.sha256(trees).hexdigest()
    edit(saved / "energy_mj.json", lambda described: described["sha256"].update(ubj=checksum))
    with pytest.raises(ArtifactError, match=r"energy_mj\.ubj has 3 features, its sidecar \d+"):
        load_predictor(saved, "energy_mj", SPACE)


def test_unknown_intervals_survive_a_file(tmp_path: Path) -> None:
    X, y = programs(50, seed=0)
    save_predictor(LatencyPredictor(n_folds=0).fit(X, y), tmp_path, SPACE)
    assert "Infinity" not in (tmp_path / "latency_ms.json").read_text()
    low, high = load_predictor(tmp_path, "latency_ms", SPACE).predict_interval(X)
    assert (low == 0).all()
    assert np.isinf(high).all()


def edit(sidecar: Path, change) -> None:
    """Rewrite a sidecar after `change` of its parsed content, as one without a checksum of it."""
    described = json.loads(sidecar.read_text())
    change(described)
    described.pop("content_sha256", None)
    sidecar.write_text(json.dumps(described))
