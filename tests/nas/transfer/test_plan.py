"""The rows that a target is asked for."""

import numpy as np
import pytest

from nas.devices import get_device
from nas.transfer.plan import MIN_PROGRAMS, choose_levels, choose_programs, plan_rows, write_plan
from nas.transfer.programs import Programs
from nas.transfer.proxy import load_proxy
from predictors import read_cells
from search_spaces import InputError, get_space

SPACE = get_space("resnet-digits")
PROXY = load_proxy(SPACE, "x86-cpu")


@pytest.mark.parametrize(("n", "chosen"), [(1, [0]), (2, [0, 1]), (3, [0, 2, 1]), (8, [0, 7, 4])])
def test_levels_are_both_ends_and_the_middle(n, chosen):
    levels = get_device("xavier-nx").levels[:n]
    assert len(levels) == n
    assert [levels.index(level) for level in choose_levels(levels)] == chosen


def test_programs_are_spread_and_sorted_by_the_proxy():
    genes, heads = choose_programs(SPACE, PROXY, 12, np.random.default_rng(0))
    chosen = Programs(SPACE, genes, heads)
    assert (np.diff(PROXY.latency_ms(chosen)) > 0).all()
    assert len(np.unique(genes, axis=0)) == 12
    whole = (genes == SPACE.largest).all(axis=1)
    assert heads[whole].tolist() == [[False] * SPACE.n_exits + [True]]
    final = np.arange(SPACE.n_exits + 1) == SPACE.n_exits
    anywhere = Programs(SPACE, SPACE.sample(12, np.random.default_rng(0)), np.tile(final, (12, 1)))
    assert np.ptp(PROXY.latency_ms(chosen)) > np.ptp(PROXY.latency_ms(anywhere))
    assert np.ptp(chosen.kernels) > np.ptp(anywhere.kernels)


def test_the_same_programs_are_asked_at_every_level():
    device = get_device("xavier-nx")
    rows = plan_rows(SPACE, device, PROXY, 24, np.random.default_rng(0))
    assert len(rows) == 24
    asked = {}
    for row in rows:
        asked.setdefault(row["level"], []).append((row["subnet"], row["heads"]))
    assert list(asked) == [level.level for level in choose_levels(device.levels)]
    assert len({tuple(programs) for programs in asked.values()}) == 1
    assert all(row["latency_ms"] is None for row in rows)
    few = plan_rows(SPACE, device, PROXY, 6, np.random.default_rng(0))
    assert len({row["subnet"] for row in few[:MIN_PROGRAMS]}) == MIN_PROGRAMS  # can be ranked


def test_a_written_plan_has_empty_costs(tmp_path):
    rows = plan_rows(SPACE, get_device("tx2"), PROXY, 9, np.random.default_rng(0))
    write_plan(rows, tmp_path / "plan.csv")
    cells = read_cells(tmp_path / "plan.csv", ["subnet"])
    assert cells["subnet"].tolist() == [row["subnet"] for row in rows]
    assert (cells["latency_ms"] == "").all()
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        write_plan(rows, tmp_path)
