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
    save_predictor,
)
from search_spaces import encode, get_space, work_columns

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


WORK = work_columns(SPACE)


@parametrize_with_checks(
    [
        LatencyPredictor(n_estimators=20),
        EnergyPredictor(n_estimators=20),
        LatencyPredictor(n_estimators=20, work_columns=(0,)),
    ]
)
def test_scikit_learn_contract(estimator, check) -> None:
    check(estimator)


def test_held_out_error_is_small() -> None:
    fitted = LatencyPredictor().fit(*programs(400, seed=0))
    X, y = programs(200, seed=1)
    assert mape_pct(y, fitted.predict(X)) < 5


def test_work_columns_hold_beyond_the_rows_where_trees_do_not() -> None:
    X, y = programs(600, seed=0)
    y = y * (1 + 0.1 * np.sin(X[:, 4]))  # what a sum of work cannot say
    cheap, dear = y < np.quantile(y, 0.5), y > np.quantile(y, 0.75)
    alone = LatencyPredictor().fit(X[cheap], y[cheap]).predict(X[dear])
    on_work = LatencyPredictor(work_columns=WORK).fit(X[cheap], y[cheap]).predict(X[dear])
    assert mape_pct(y[dear], on_work) < 5
    assert mape_pct(y[dear], alone) > 20


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
    start = time.perf_counter()
    fitted.predict(many)
    assert time.perf_counter() - start < 1  # 0.05 s alone; the machine may be busy


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
    assert described["n_rows"] == 100
    assert sorted(p.name for p in saved.iterdir()) == ["energy_mj.json", "energy_mj.ubj"]


def test_a_saved_predictor_keeps_its_work_law(tmp_path: Path) -> None:
    X, y = programs(100, seed=0)
    fitted = EnergyPredictor(n_estimators=20, work_columns=WORK).fit(X, y)
    save_predictor(fitted, tmp_path, SPACE, device="host", source="measured")
    loaded = load_predictor(tmp_path, "energy_mj", SPACE)
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.get_params() == fitted.get_params()


def test_a_sidecar_from_before_work_laws_is_read(saved: Path) -> None:
    X, _ = programs(100, seed=0)
    before = load_predictor(saved, "energy_mj", SPACE).predict(X)
    sidecar = saved / "energy_mj.json"
    described = json.loads(sidecar.read_text())
    del described["work_law"], described["settings"]["work_columns"]
    sidecar.write_text(json.dumps(described))
    np.testing.assert_array_equal(load_predictor(saved, "energy_mj", SPACE).predict(X), before)


def test_a_tampered_model_is_refused(saved: Path) -> None:
    model = saved / "energy_mj.ubj"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match=r"energy_mj\.ubj differs from its checksum"):
        load_predictor(saved, "energy_mj", SPACE)


def test_a_model_that_is_no_model_is_refused(saved: Path) -> None:
    (saved / "energy_mj.ubj").write_bytes(b"not trees")
    sidecar = saved / "energy_mj.json"
    described = json.loads(sidecar.read_text())
    described["sha256"]["ubj"] = hashlib.sha256(b"not trees").hexdigest()
    sidecar.write_text(json.dumps(described))
    with pytest.raises(ArtifactError, match="no XGBoost model"):
        load_predictor(saved, "energy_mj", SPACE)


def test_other_spaces_and_missing_or_broken_files_are_refused(saved: Path) -> None:
    with pytest.raises(ArtifactError, match="is for space resnet-digits, asked resnet-cifar"):
        load_predictor(saved, "energy_mj", get_space("resnet-cifar"))
    with pytest.raises(ArtifactError, match=r"cannot read .*latency_ms\.json: No such file"):
        load_predictor(saved, "latency_ms", SPACE)
    (saved / "energy_mj.ubj").unlink()
    with pytest.raises(ArtifactError, match=r"cannot read .*energy_mj\.ubj"):
        load_predictor(saved, "energy_mj", SPACE)
    for text, reason in (
        ("{", "no JSON"),
        ("[]", "is damaged"),
        ('{"schema": "x/9"}', "schema 'x/9'"),
    ):
        (saved / "energy_mj.json").write_text(text)
        with pytest.raises(ArtifactError, match=reason):
            load_predictor(saved, "energy_mj", SPACE)


def test_a_sidecar_that_lost_a_field_is_refused(saved: Path) -> None:
    sidecar = saved / "energy_mj.json"
    described = json.loads(sidecar.read_text())
    del described["sha256"]
    sidecar.write_text(json.dumps(described))
    with pytest.raises(ArtifactError, match=r"energy_mj\.json is damaged \(KeyError: 'sha256'\)"):
        load_predictor(saved, "energy_mj", SPACE)
