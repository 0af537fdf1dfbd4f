"""Errors of subnets that were chosen for being lucky, on images that chose nothing."""

from importlib.resources import files

import numpy as np

from predictors import AccuracyPredictor, AccuracyTable, NewImages, read_accuracy_table
from search_spaces import PolicyGrid, get_space

SPACE = get_space("resnet-digits")
GRID = PolicyGrid(SPACE.n_exits, ())
N_IMAGES = 1000


def drawn(n, seed):
    """True errors in percent, a smooth function of the genes, and a table of drawn images."""
    rng = np.random.default_rng(seed)
    genes = np.unique(SPACE.sample(n, rng), axis=0)
    truth = 30 - 20 * genes.sum(axis=1) / SPACE.largest.sum()
    error = 100 * rng.binomial(N_IMAGES, truth / 100)[:, None] / N_IMAGES
    rates = np.zeros((len(genes), 1, SPACE.n_exits + 1))
    rates[:, :, -1] = 1
    return truth, AccuracyTable(genes, GRID, error, rates, n_images=N_IMAGES)


def test_chosen_subnets_are_as_good_on_new_images_as_expected_and_worse_than_measured() -> None:
    measured, expected, within = [], [], []
    for seed in range(4):
        truth, table = drawn(150, seed)
        found = NewImages.of(table, AccuracyPredictor(SPACE, regressor="kernel").fit(table))
        assert found is not None
        error, deviation = (x[:, 0] for x in found(table.genes))
        best = np.argsort(table.top1_error_pct[:, 0])[:10]
        measured.append((table.top1_error_pct[best, 0] - truth[best]).mean())
        expected.append((error[best] - truth[best]).mean())
        within.append((np.abs(error - truth) <= 2 * deviation).mean())
    assert np.mean(measured) < -0.5  # a standard error is 1.2: the best of 150 are lucky
    assert abs(np.mean(expected)) < -0.3 * np.mean(measured)
    assert np.mean(within) > 0.95


def test_nothing_is_expected_of_few_rows_of_unknown_images_or_of_trees() -> None:
    """Trees take luck for skill: of 149 rows they are 0.02 points off, which scatter by 1.2."""
    _, table = drawn(30, 0)
    assert NewImages.of(table, AccuracyPredictor(SPACE, regressor="xgboost").fit(table)) is None
    fitted = AccuracyPredictor(SPACE, regressor="kernel").fit(table)
    assert NewImages.of(table[np.arange(5)], fitted) is None
    unknown = AccuracyTable(table.genes, GRID, table.top1_error_pct, table.exit_rate)
    assert NewImages.of(unknown, fitted) is None


def test_subnets_that_were_never_evaluated_are_as_far_off_as_said() -> None:
    """The predictor follows 40 rows of the zoo's table to 0.14 points; the others are 0.39 off."""
    space = get_space("resnet-cifar")
    zoo = files("supernets") / "zoo" / "resnet-cifar10" / "accuracy.safetensors"
    table = read_accuracy_table(str(zoo), space)
    order = np.random.default_rng(0).permutation(len(table))
    known, others = table[order[:40]], table[order[40:]]
    predictor = AccuracyPredictor(space, regressor="kernel").fit(known)
    found = NewImages.of(known, predictor)
    assert found is not None
    off = predictor.predict(others.genes)[0] - others.top1_error_pct
    true_rms = np.sqrt(np.mean(off**2))
    error, deviation = found(others.genes)
    spread = np.sqrt(deviation**2 - error * (100 - error) / known.n_images)
    np.testing.assert_allclose(spread, spread[0, 0], rtol=1e-3)
    assert 0.8 < spread[0, 0] / true_rms < 1.25
    error, deviation = found(known.genes)
    spread = np.sqrt(deviation**2 - error * (100 - error) / known.n_images)
    np.testing.assert_allclose(spread, found.spread_pct, rtol=1e-3)
    assert found.spread_pct < 0.5 * true_rms
