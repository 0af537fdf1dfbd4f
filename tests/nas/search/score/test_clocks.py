"""Subnets x exits x clocks: the inner search against loops over every configuration."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.devices import get_device
from nas.pareto import read_pareto
from nas.search.front.archive import Archive
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.clocks import ClockGrid
from nas.search.score.feasibility import check_feasible
from nas.search.score.scorer import Scorer
from search_spaces import InputError, PolicyGrid
from tests.nas.conftest import nas
from tests.nas.search.test_run import command
from tests.nas.synthetic import FormulaAccuracy, digits_space

SPACE = digits_space()
GRID = PolicyGrid(SPACE.n_exits, (0.6, 0.9))
TX2 = get_device("tx2", backend="pytorch")


@dataclass(frozen=True)
class Small:
    """TX2 at three GPU, four CPU and three memory clocks, and its costs as a scorer wants them."""

    name: str = "tx2"
    levels: list = field(default_factory=lambda: TX2.levels[::6])
    settings: list = field(default_factory=lambda: small_settings(TX2.levels[::6]))

    def at(self, settings):
        return TX2.at(settings)

    def cost(self, operators):
        return TX2.at(self.levels).cost(operators)

    def __call__(self, genes, programs):
        """1.3 times the model, so that the search must scale its ratios."""
        heads = np.tile(programs, (len(genes), 1))
        costs = self.cost(SPACE.operators(np.repeat(genes, len(programs), axis=0), heads))
        return tuple(1.3 * c.reshape(len(genes), len(programs), -1) for c in costs)


def small_settings(levels):
    gpu = {level.gpu_mhz for level in levels}
    cpu = {TX2.levels[0].cpu_mhz, 345.6, 960, 1574.4}
    emc = {TX2.levels[0].emc_mhz, 408, 1331.2}
    return [s for s in TX2.settings if s.gpu_mhz in gpu and s.cpu_mhz in cpu and s.emc_mhz in emc]


SMALL = Small()
LEVEL = {level.gpu_mhz: i for i, level in enumerate(SMALL.levels)}
SETTINGS = [type(s)(LEVEL[s.gpu_mhz], *list(vars(s).values())[1:]) for s in SMALL.settings]
CLOCKS = ClockGrid(SPACE, SMALL, tuple(SETTINGS))
SCORER = Scorer(FormulaAccuracy(SPACE, GRID), SMALL, 0.05, CLOCKS)
GENES = SPACE.sample(8, np.random.default_rng(3))


def loops():
    """Error, expected latency, energy and worst latency of every configuration, one by one."""
    error, rates, _ = SCORER.accuracy(GENES)
    shape = (len(GENES), len(GRID), len(SETTINGS))
    latency, energy, worst = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for s, setting in enumerate(SETTINGS):
        device = TX2.at([setting])
        for p in range(len(GRID)):
            asked = [*GRID[p].after, SPACE.n_exits]
            for j, exit_ in enumerate(asked):
                heads = np.zeros((len(GENES), SPACE.n_exits + 1), dtype=bool)
                heads[:, asked[: j + 1]] = True
                ms, mj = (1.3 * c[:, 0] for c in device.cost(SPACE.operators(GENES, heads)))
                n_decisions = sum(k < SPACE.n_exits for k in asked[: j + 1])
                total = ms + 0.05 * n_decisions
                latency[:, p, s] += rates[:, p, exit_] * total
                energy[:, p, s] += rates[:, p, exit_] * mj * total / ms
                worst[:, p, s] = total
    return error, latency, energy, worst


ERROR, LATENCY, ENERGY, WORST = loops()


def test_every_setting_is_a_level_with_other_clocks():
    mode = TX2.profile.mode(None)
    settings = TX2.settings
    n_clocks = [len(getattr(TX2.profile, f"{name}_mhz")) for name in ("gpu", "cpu", "emc")]
    assert mode.name == "MAXN"  # nothing is capped
    assert len(set(settings)) == len(settings) == np.prod(n_clocks)
    assert settings[: len(TX2.levels)] == TX2.levels
    assert all(s.gpu_mhz == TX2.levels[s.level].gpu_mhz for s in settings)
    capped = get_device("xavier-nx", power_mode="MODE_10W_4CORE").settings
    assert max(s.cpu_mhz for s in capped) == 1190.4
    assert max(s.emc_mhz for s in capped) == 1600


def test_scores_at_any_clocks_are_those_of_loops():
    scores = SCORER.at(GENES, np.arange(len(SETTINGS)))
    np.testing.assert_allclose(scores.error_pct, ERROR)
    np.testing.assert_allclose(scores.latency_ms, LATENCY)
    np.testing.assert_allclose(scores.energy_mj, ENERGY)
    np.testing.assert_allclose(scores.worst_ms, WORST)
    plain = SCORER(GENES)
    np.testing.assert_allclose(plain.energy_mj, ENERGY[:, :, : len(LEVEL)])


@pytest.mark.parametrize("worst_ms", [None, float(np.quantile(WORST, 0.3))])
def test_the_archive_is_the_front_of_every_configuration_of_a_level(worst_ms):
    archive = Archive(len(LEVEL), Bounds(max_worst_latency_ms=worst_ms))
    for part in np.array_split(GENES, 2):
        for scored in SCORER.at_all_clocks(part, SCORER(part)):
            archive.add(*scored)
    error = np.broadcast_to(ERROR[:, :, None], LATENCY.shape)
    costs = np.stack([error, LATENCY, ENERGY], axis=-1)
    for level, front in enumerate(archive.fronts):
        rows = costs[:, :, CLOCKS.level == level]
        rows = rows[WORST[:, :, CLOCKS.level == level] <= (worst_ms or np.inf)].reshape(-1, 3)
        no_worse = (rows[None] <= rows[:, None]).all(axis=2)
        better = (rows[None] < rows[:, None]).any(axis=2)
        expected = np.unique(rows[~(no_worse & better).any(axis=1)].round(9), axis=0)
        np.testing.assert_allclose(np.unique(front.costs.round(9), axis=0), expected, rtol=1e-7)
        own = costs[front.subnet, front.policy, front.setting]
        np.testing.assert_allclose(own, front.costs)
        assert (CLOCKS.level[front.setting] == level).all()


def test_few_settings_are_useful_and_one_that_is_not_is_never_best():
    (_, scores), *_ = SCORER.at_all_clocks(GENES, SCORER(GENES))
    useless = np.setdiff1d(np.arange(len(SETTINGS)), scores.setting)
    assert len(useless)
    for s in useless:
        same = np.flatnonzero(CLOCKS.level == CLOCKS.level[s])
        others = [o for o in same if o in scores.setting]
        for i in range(len(GENES)):
            beaten = [
                (LATENCY[i, :, o] <= LATENCY[i, :, s] + 1e-9).all()
                and (ENERGY[i, :, o] <= ENERGY[i, :, s] + 1e-9).all()
                for o in others
            ]
            assert any(beaten)


@given(st.floats(1, 3), st.floats(0, 20))
def test_all_together_save_at_least_what_exits_or_clocks_save_alone(slowdown, loss):
    """The largest subnet is in every search, so its exits and its clocks are in the archive."""
    genes = np.concatenate([SPACE.largest, GENES])
    largest = SCORER.at(SPACE.largest, np.arange(len(SETTINGS)))
    top = len(LEVEL) - 1
    bound = Bounds(
        max_error_pct=max(float(largest.error_pct[0, 0]), 1e-3) + loss,
        max_worst_latency_ms=slowdown * float(largest.worst_ms[0, 0, top]),
    )
    archive = Archive(len(LEVEL), bound)
    for scored in SCORER.at_all_clocks(genes, SCORER(genes)):
        archive.add(*scored)
    joint = min(front.costs[:, 2].min() for front in archive.fronts if len(front.costs))
    allowed = np.where(bound.violation(largest) <= 0, largest.energy_mj, np.inf)[0]
    assert joint <= allowed[0].min() * (1 + 1e-9)  # clocks alone
    assert joint <= allowed[:, top].min() * (1 + 1e-9)  # exits alone
    assert joint <= allowed.min() * (1 + 1e-9)


def test_a_device_measured_at_one_setting_is_refused():
    with pytest.raises(InputError, match="`clocks` all needs a model of the clocks, host"):
        ClockGrid.of(SPACE, get_device("host"))


def test_bounds_that_other_clocks_alone_reach_are_reachable():
    plain, wanted = replace(SCORER, clocks=None), Bounds(max_energy_mj=1.0)
    least = {}
    for name, scorer in (("gpu", plain), ("all", SCORER)):
        with pytest.raises(InputError) as refused:
            check_feasible(Problem(SPACE, scorer, wanted, (len(LEVEL),)), seed=0)
        least[name] = float(str(refused.value).rsplit(" ", 1)[1])
    assert least["all"] < 0.95 * least["gpu"]
    bounds = Bounds(max_energy_mj=least["all"])
    with pytest.raises(InputError, match=f"raise `max_energy_mj` to {least['gpu']:g}"):
        check_feasible(Problem(SPACE, plain, bounds, (len(LEVEL),)), seed=0)
    met = check_feasible(Problem(SPACE, SCORER, bounds, (len(LEVEL),)), seed=0)
    (_, scores), *_ = SCORER.at_all_clocks(met, SCORER(met))
    assert (bounds.violation(scores).min(axis=(1, 2)) <= 0).all()


@given(st.sets(st.integers(0, len(LEVEL) - 1), min_size=1))
def test_allowed_levels_hold_at_all_clocks(levels):
    bounds = Bounds(levels=tuple(levels))
    archive = Archive(len(LEVEL), bounds)
    for scored in SCORER.at_all_clocks(GENES, SCORER(GENES)):
        archive.add(*scored)
    assert {i for i, front in enumerate(archive.fronts) if len(front.costs)} == levels


def test_points_carry_their_own_clocks_and_belong_to_their_level(digits, tmp_path):
    probe = nas(*command(digits, tmp_path / "gpu", "--trials", 40, "--points", 5, "--json"))
    assert probe.code == 0, probe.err
    gpu = read_pareto(tmp_path / "gpu" / "pareto.json")
    static = gpu.baseline("largest", 14)
    bound = 1.25 * static["latency_worst_ms"]
    few = ("--trials", 40, "--points", 5, "--quiet")
    options = ("--clocks", "all", *few, "--max-worst-latency-ms", bound)
    done = nas(*command(digits, tmp_path / "all", *options))
    assert done.code == 0, done.err
    table = read_pareto(tmp_path / "all" / "pareto.json")
    device = get_device("xavier-nx")
    settings = {(s.level, s.cpu_mhz, s.emc_mhz) for s in device.settings}
    others = 0
    for point in table.points:
        level = table.levels[point["level"]]
        assert (point["level"], point["cpu_mhz"], point["emc_mhz"]) in settings
        own = (point["cpu_mhz"], point["emc_mhz"]) == (level["cpu_mhz"], level["emc_mhz"])
        others += not own
        # no target row has seen these clocks: the model's ratio stands in, and the file says so
        expected = "predicted (simulated)" if own else "predicted (scaled simulation)"
        assert point["latency_source"] == point["energy_source"] == expected
        assert point["latency_worst_ms"] <= bound
    assert others
    assert len({p["id"] for p in table.points}) == len(table.points)
    header, *lines = (tmp_path / "all" / "pareto.csv").read_text().splitlines()
    columns = header.split(",")
    for line, point in zip(lines, table.points, strict=True):
        row = dict(zip(columns, line.split(","), strict=True))
        assert float(row["emc_mhz"]) == point["emc_mhz"]
        assert float(row["cpu_mhz"]) == point["cpu_mhz"]
    assert "cpu_mhz" not in gpu.points[0]
    least = [min(p["energy_mj"] for p in t.points) for t in (table, gpu)]
    assert least[0] < least[1]
    refused = nas(*command(digits, tmp_path / "bad", "--clocks", "emc"))
    assert refused.code == 1
    assert "--clocks must be gpu or all, got 'emc'" in refused.err
