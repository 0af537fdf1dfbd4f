"""The device-conditioned predictor and the optimiser on top of it."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from predictors import ArtifactError, DevicePredictor, NeuralOptimizer, Pool, repair, verify
from predictors.design.layers import fit_layers, forward, initial, to_torch
from predictors.design.optimizer import one_hot, straight_through
from predictors.design.repair import keys, neighbours
from search_spaces import NASBench201Space, get_space

SPACE = NASBench201Space()
GENES = SPACE.enumerate()
WORK = np.array([0.2, 0.3, 1.0, 4.0, 0.6])  # of each operator
QUALITY = np.array([0.0, 0.4, 1.5, 2.5, 0.8])


def accuracy(genes: np.ndarray) -> np.ndarray:
    """Better with work, unevenly over the edges."""
    return np.log1p(QUALITY[genes] @ np.array([1.0, 0.8, 1.2, 1.5, 0.7, 1.1]))


def device(seed: int) -> np.ndarray:
    """Log cost of every cell on a device that weighs operators and edges in its own way."""
    rng = np.random.default_rng(seed)
    work = WORK ** rng.uniform(0.4, 1.2) * rng.uniform(0.8, 1.25, 5)
    edges = rng.uniform(0.7, 1.4, 6)
    return np.log(rng.uniform(0.5, 20) * (work[GENES] @ edges + rng.uniform(0.5, 5)))


KNOWN = np.stack([device(seed) for seed in range(12)], axis=1)
FAMILIES = [str(d // 2) for d in range(12)]


@cache
def trained() -> NeuralOptimizer:
    optimizer = NeuralOptimizer(SPACE, hidden=48, n_steps=400)
    return optimizer.fit(GENES, KNOWN, FAMILIES, accuracy(GENES))


def embedded(log_cost: np.ndarray) -> tuple[np.ndarray, object]:
    rows = trained().anchors(GENES)
    return rows, trained().embed(GENES[rows], log_cost[rows])


def test_ten_rows_tell_what_a_device_of_no_known_family_costs():
    for seed in (100, 101, 102):
        log_cost = device(seed)
        rows, known = embedded(log_cost)
        mean, std = trained().predict(GENES, known)
        rest = np.setdiff1d(np.arange(len(GENES)), rows)
        assert np.corrcoef(mean[rest], log_cost[rest])[0, 1] > 0.97
        inside = np.abs(log_cost - mean)[rest] <= 3 * std[rest]
        assert inside.mean() > 0.9


def test_an_embedding_is_the_posterior_of_bayesian_regression():
    """With no misfit the closed form equals conditioning the joint Gaussian of all rows."""
    predictor = trained().predictor_
    phi = predictor.features(one_hot(SPACE, GENES[::1300])).astype(float)
    joint = phi / predictor.precision_ @ phi.T + predictor.noise_ * np.eye(len(phi))
    y = phi @ predictor.mean_ + np.random.default_rng(0).normal(0, 0.1, len(phi))
    given, asked = slice(0, 8), slice(8, None)
    gap = np.linalg.solve(joint[given, given], (y - phi @ predictor.mean_)[given])
    mean, std = predictor.predict(phi[asked], predictor.embed(phi[given], y[given]))
    assert_allclose(mean, phi[asked] @ predictor.mean_ + joint[asked, given] @ gap, rtol=1e-4)
    left = joint[asked, asked] - joint[asked, given] @ np.linalg.solve(
        joint[given, given], joint[given, asked]
    )
    ratio = std**2 / np.diag(left)
    assert_allclose(ratio, ratio[0], rtol=1e-4)  # one amplitude for the whole device
    amplitude = (5 + gap @ (y - phi @ predictor.mean_)[given]) / (5 + 8)
    assert_allclose(ratio[0], amplitude, rtol=1e-4)


def test_an_odd_device_is_believed_less():
    rows, usual = embedded(device(100))
    rng = np.random.default_rng(0)
    odd = trained().embed(GENES[rows], device(100)[rows] + rng.normal(0, 1, len(rows)))
    phi = trained().predict(GENES[:50], usual)[1]
    assert (trained().predict(GENES[:50], odd)[1] > 2 * phi).all()


def test_anchors_do_not_repeat_and_beat_random_rows():
    rows = trained().anchors(GENES)
    assert len(set(rows.tolist())) == 10
    drawn = np.random.default_rng(0).choice(len(GENES), 10, replace=False)
    log_cost, errors = device(103), []
    for given in (rows, drawn):
        known = trained().embed(GENES[given], log_cost[given])
        errors.append(np.abs(trained().predict(GENES, known)[0] - log_cost).mean())
    assert errors[0] < errors[1]


def test_gradients_reach_the_optimiser_through_frozen_predictors():
    rng = np.random.default_rng(0)
    phi, value = trained().predictor_.layers_, trained().accuracy_
    before = [w.copy() for layers in (phi, value) for layer in layers for w in layer]
    layers = to_torch(initial((48, 48, 48, 30), rng), learn=True)
    frozen = [to_torch(network, learn=False) for network in (phi, value)]
    logits = forward(layers, torch.randn(16, 48, generator=torch.Generator().manual_seed(0)))
    x = straight_through(logits, [5] * 6, 0.5, torch.Generator().manual_seed(0))
    assert set(x.detach().round(decimals=5).unique().tolist()) == {0.0, 1.0}
    assert_array_equal(x.detach().reshape(16, 6, 5).sum(dim=2).round(), np.ones((16, 6)))
    (forward(frozen[0], x).sum() - forward(frozen[1], x).sum()).backward()
    assert all((a.grad.abs().max() > 0) for layer in layers for a in layer)
    assert all(a.grad is None for network in frozen for layer in network for a in layer)
    after = [w for layers in (phi, value) for layer in layers for w in layer]
    for a, b in zip(before, after, strict=True):
        assert_array_equal(a, b)


def test_training_the_optimiser_leaves_the_predictors_as_they_were():
    optimizer = NeuralOptimizer(SPACE, hidden=16, n_steps=20)
    optimizer.fit(GENES, KNOWN, FAMILIES, accuracy(GENES))
    X = one_hot(SPACE, GENES)
    before = [w.copy() for w, _ in optimizer.predictor_.layers_ + optimizer.accuracy_]
    rng = np.random.default_rng(5)
    optimizer._fit_optimiser(X, optimizer._devices(X, KNOWN, FAMILIES, rng), rng)
    after = [w for w, _ in optimizer.predictor_.layers_ + optimizer.accuracy_]
    for a, b in zip(before, after, strict=True):
        assert_array_equal(a, b)


def test_one_forward_pass_follows_the_bound_on_a_device_never_seen():
    log_cost = device(104)
    _, known = embedded(log_cost)
    number = {key: row for row, key in enumerate(keys(GENES))}
    likeliest = [
        number[keys(trained().designs(known, np.quantile(log_cost, q))[:1])[0]]
        for q in (0.1, 0.4, 0.7, 0.95)
    ]
    costs, values = log_cost[likeliest], accuracy(GENES)[likeliest]
    assert all(a <= b for a, b in pairwise(costs))
    assert costs[0] < costs[-1] - 0.3
    for row, value in zip(likeliest, values, strict=True):  # one of the best at its own cost
        assert (accuracy(GENES)[log_cost <= log_cost[row]] > value).mean() < 0.01


def test_proposals_are_near_the_best_and_verified_within_the_allowance():
    """Against the exhaustive optimum, with every measurement counted."""
    for seed in (105, 106):
        log_cost, value = device(seed), accuracy(GENES)
        number = {key: row for row, key in enumerate(keys(GENES))}
        rows, known = embedded(log_cost)
        for q in (0.05, 0.3, 0.6, 0.95):
            bound = float(np.quantile(log_cost, q))
            pool = trained().propose(known, bound, accuracy)
            here = np.array([number[key] for key in keys(pool.genes)])
            read = set(rows.tolist())

            def measure(row: int, read=read, here=here, log_cost=log_cost) -> float:
                read.add(int(here[row]))
                return float(log_cost[here[row]])

            belief = trained().belief(pool, GENES[rows], log_cost[rows])
            done = verify(pool.value, belief, measure, bound, 22)
            assert len(read) <= 32
            assert done.chosen is not None
            assert log_cost[here[done.chosen]] <= bound
            best = value[log_cost <= bound].max()
            assert value[here[done.chosen]] > best - 0.3 * value.std()


def test_a_seed_gives_the_same_proposals_and_another_seed_others():
    def proposed(seed: int) -> np.ndarray:
        optimizer = NeuralOptimizer(SPACE, hidden=16, n_steps=20, seed=seed)
        optimizer.fit(GENES, KNOWN, FAMILIES, accuracy(GENES))
        rows, log_cost = optimizer.anchors(GENES), device(107)
        known = optimizer.embed(GENES[rows], log_cost[rows])
        return optimizer.propose(known, float(np.median(log_cost))).genes

    assert_array_equal(proposed(3), proposed(3))
    assert not np.array_equal(proposed(3), proposed(4))


def test_it_reads_back_what_it_wrote_and_refuses_what_was_changed(tmp_path):
    trained().save(tmp_path, devices="made up")
    loaded = NeuralOptimizer.load(tmp_path, SPACE)
    assert loaded.about_["devices"] == "made up"
    log_cost = device(108)
    rows = loaded.anchors(GENES)
    bound = float(np.quantile(log_cost, 0.4))
    pools = [
        optimizer.propose(optimizer.embed(GENES[rows], log_cost[rows]), bound)
        for optimizer in (trained(), loaded)
    ]
    for name in ("genes", "value", "mean", "std"):
        assert_array_equal(*(getattr(pool, name) for pool in pools))
    with pytest.raises(ArtifactError, match="is for space nasbench201, asked resnet-digits"):
        NeuralOptimizer.load(tmp_path, get_space("resnet-digits"))
    tensors = tmp_path / "optimiser.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-5] ^= 1
    tensors.write_bytes(data)
    with pytest.raises(ArtifactError, match="differs from its checksum"):
        NeuralOptimizer.load(tmp_path, SPACE)


# ---- repair and verification -------------------------------------------------------------------


def look(genes: np.ndarray) -> Pool:
    return Pool(genes, accuracy(genes), np.log(WORK[genes].sum(axis=1)), np.full(len(genes), 0.1))


def test_neighbours_differ_in_one_gene_and_are_all_there():
    found = neighbours(SPACE, GENES[7000:7001])
    assert len(found) == 24
    assert len(set(keys(found))) == 24
    assert ((found != GENES[7000]).sum(axis=1) == 1).all()


def test_neighbours_are_canonical_where_blocks_can_be_skipped():
    space = get_space("resnet-digits")
    found = neighbours(space, space.smallest)
    assert_array_equal(found, space.check(space.full(found)))


@pytest.mark.parametrize("bound", [1.5, 3.0, 10.0])
def test_repair_finds_designs_that_meet_the_bound(bound):
    costly = GENES[WORK[GENES].sum(axis=1) > 1.2 * bound]
    start = look(costly[np.random.default_rng(0).integers(len(costly), size=20)])
    assert not start.meets(np.log(bound)).any()
    pool = repair(start, np.log(bound), look, SPACE)
    assert pool.meets(np.log(bound))[0]
    assert WORK[pool.genes[0]].sum() <= bound
    best = accuracy(GENES)[WORK[GENES].sum(axis=1) <= bound].max()
    assert pool.value[0] > best - 0.1
    assert len(set(keys(pool.genes))) == len(pool)


def test_repair_says_so_where_no_design_meets_the_bound():
    pool = repair(look(SPACE.largest), np.log(0.5), look, SPACE)
    assert not pool.meets(np.log(0.5)).any()
    assert pool.mean[0] == pool.mean.min()


def test_what_may_not_be_chosen_comes_last():
    def no_pools(genes: np.ndarray) -> Pool:
        pool = look(genes)
        value = np.where((genes == 4).any(axis=1), -np.inf, pool.value)
        return Pool(genes, value, pool.mean, pool.std)

    pool = repair(no_pools(SPACE.largest), np.log(4.0), no_pools, SPACE)
    assert not (pool.genes[0] == 4).any()
    assert pool.meets(np.log(4.0))[0]


def sure(mean: np.ndarray, std: float):
    return lambda rows, costs: (mean, np.full(len(mean), std))


def test_verify_goes_on_to_better_ones_and_stops_when_none_is_left():
    value, cost = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 2.0, 3.0])
    done = verify(value, sure(cost, 1.0), lambda row: cost[row], 2.5, 10)
    assert done.chosen == 2
    assert set(done.rows.tolist()) <= {0, 1, 2, 3}
    assert len(set(done.rows.tolist())) == len(done.rows)
    assert 3 in done.rows  # a better one was tried before it stopped


@pytest.mark.parametrize("n", [0, 1, 3])
def test_verify_never_measures_more_than_allowed(n):
    rng = np.random.default_rng(0)
    value, cost, calls = rng.random(40), rng.random(40), []
    done = verify(value, sure(np.zeros(40), 1.0), lambda r: calls.append(r) or cost[r], -1.0, n)
    assert len(calls) == len(done.rows) == n
    assert done.chosen is None


def test_verify_leaves_alone_what_may_not_be_chosen():
    value = np.array([-np.inf, 1.0, -np.inf])
    done = verify(value, sure(np.zeros(3), 1.0), lambda row: 0.0, 1.0, 5)
    assert done.rows.tolist() == [1]
    assert done.chosen == 1
    nothing = verify(value[[0, 2]], sure(np.zeros(2), 1.0), lambda row: 0.0, 1.0, 5)
    assert nothing.chosen is None
    assert not len(nothing.rows)


def test_small_networks_learn_a_function():
    rng = np.random.default_rng(0)
    X = one_hot(SPACE, GENES)
    y = accuracy(GENES)[:, None] - accuracy(GENES).mean()
    layers = fit_layers(X, y, hidden=32, n_steps=600, rng=rng)
    assert np.abs(forward(layers, X) - y).mean() < 0.15 * y.std()


def test_one_device_is_enough_to_learn_from_but_no_more_than_itself():
    predictor = DevicePredictor(hidden=32, n_steps=100).fit(
        one_hot(SPACE, GENES), KNOWN[:, :1], FAMILIES[:1]
    )
    phi = predictor.features(one_hot(SPACE, GENES))
    known = predictor.embed(phi[:0], np.empty(0))
    assert np.isfinite(predictor.predict(phi, known)[0]).all()
