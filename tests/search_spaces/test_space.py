"""What every space of the catalog promises, and the facts that the CIFAR space was made for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import (
    InputError,
    Space,
    Subnet,
    get_space,
    space_from_dict,
    space_names,
)
from search_spaces.space import Genes

SPACES = [get_space(name) for name in space_names()]
SMALL = [space for space in SPACES if np.prod([len(c) for c in space.choices], dtype=float) < 1e5]
CIFAR = get_space("resnet-cifar")

every_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


def rows(space: Space) -> st.SearchStrategy[Genes]:
    """One row of chosen values, not canonical: skipped blocks have values too."""
    return st.tuples(*map(st.sampled_from, space.choices)).map(np.array)


def head_sets(space: Space) -> st.SearchStrategy[np.ndarray]:
    """Any non-empty set of heads as a row of booleans."""
    row = st.lists(st.booleans(), min_size=space.n_exits + 1, max_size=space.n_exits + 1)
    return row.filter(any).map(lambda on: np.array([on]))


def mmacs(space: Space, genes: Genes) -> np.ndarray:
    """Millions of multiply-accumulates of the trunk and the final classifier, `(n,)`."""
    last = np.arange(space.n_exits + 1) == space.n_exits
    return space.operators(genes, last[None]).macs.sum(axis=1) / 1e6


# ---- genes -----------------------------------------------------------------------------------


@every_space
@given(data=st.data())
def test_canonical_is_idempotent_and_keeps_active_genes(space: Space, data: st.DataObject) -> None:
    row = data.draw(rows(space))
    genes = space.canonical(row)
    assert genes.shape == (1, len(space.choices))
    np.testing.assert_array_equal(space.canonical(genes), genes)
    active = space.active(genes)
    np.testing.assert_array_equal(genes[active], row[active[0]])
    assert not genes[~active].any()


@every_space
def test_an_empty_population_is_one(space: Space) -> None:
    nobody = np.empty((0, len(space.choices)), dtype=np.int64)
    assert space.canonical(nobody).shape == space.full(nobody).shape == nobody.shape
    assert space.subnets(nobody) == []


@every_space
@given(data=st.data())
def test_full_is_a_choice_everywhere_and_the_same_subnet(space: Space, data: st.DataObject) -> None:
    genes = space.canonical(data.draw(rows(space)))
    full = space.full(genes)
    assert all(value in choices for value, choices in zip(full[0], space.choices, strict=True))
    np.testing.assert_array_equal(space.canonical(full), genes)


@every_space
@given(seed=st.integers(0, 2**32 - 1))
def test_samples_are_canonical_choices(space: Space, seed: int) -> None:
    for genes in (
        space.sample(20, np.random.default_rng(seed)),
        space.sample_spread(20, np.random.default_rng(seed)),
    ):
        np.testing.assert_array_equal(space.check(genes), genes)


@every_space
def test_a_seed_gives_one_sample(space: Space) -> None:
    a, b = (space.sample(50, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@every_space
@pytest.mark.parametrize("n", [2, 3, 40])
def test_a_spread_sample_holds_both_ends(space: Space, n: int) -> None:
    genes = space.sample_spread(n, np.random.default_rng(0))
    assert len(genes) == n
    for end in (space.largest, space.smallest):
        assert (genes == end).all(axis=1).any()


@every_space
@given(n=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_a_spread_sample_has_each_subnet_once(space: Space, n: int, seed: int) -> None:
    genes = space.sample_spread(n, np.random.default_rng(seed))
    assert len(np.unique(genes, axis=0)) == n


@every_space
def test_the_ends_have_the_extreme_macs(space: Space) -> None:
    sampled = mmacs(space, space.sample(2000, np.random.default_rng(0)))
    assert mmacs(space, space.largest) >= sampled.max()
    assert mmacs(space, space.smallest) <= sampled.min()


@pytest.mark.parametrize("space", SMALL, ids=lambda space: space.name)
def test_enumeration_lists_every_canonical_subnet_once(space: Space) -> None:
    everything = space.enumerate()
    assert len(np.unique(everything, axis=0)) == len(everything)
    np.testing.assert_array_equal(space.canonical(everything), everything)
    listed = set(map(tuple, everything.tolist()))
    sampled = space.sample(500, np.random.default_rng(0)).tolist()
    assert listed.issuperset(map(tuple, sampled))


def test_a_large_space_is_not_enumerated() -> None:
    with pytest.raises(InputError, match=r"resnet-cifar has .* too many to enumerate"):
        CIFAR.enumerate()


# ---- values, strings, files --------------------------------------------------------------------


@every_space
@given(data=st.data())
def test_genes_subnets_strings_and_files_say_the_same(space: Space, data: st.DataObject) -> None:
    genes = space.canonical(data.draw(rows(space)))
    subnet = space.subnet(genes)
    np.testing.assert_array_equal(space.genes([subnet]), genes)
    assert space.subnets(genes) == [subnet]
    assert space.parse(str(subnet)) == subnet
    assert Subnet.from_dict(json.loads(json.dumps(subnet.to_dict()))) == subnet
    np.testing.assert_array_equal(space.parse_all([str(subnet)] * 3), np.repeat(genes, 3, axis=0))


@every_space
def test_equal_networks_are_equal_values(space: Space) -> None:
    rng = np.random.default_rng(0)
    genes = space.sample(300, rng)
    noise = space.full(space.sample(300, rng))
    same = space.canonical(np.where(space.active(genes), genes, noise))
    assert space.subnets(same) == space.subnets(genes)


@every_space
def test_a_wrong_value_is_named(space: Space) -> None:
    for i in np.flatnonzero(space.active(space.largest)[0]):
        genes = space.largest.copy()
        genes[0, i] = 777
        name = space.gene_names[i][:-1]  # one that is alone is told without its number
        with pytest.raises(InputError, match=rf"^{name}\d* of {space.name} .* got 777"):
            space.check(genes)


@every_space
def test_a_row_of_another_length_is_refused(space: Space) -> None:
    with pytest.raises(InputError, match=f"has {len(space.choices)} genes, got 3"):
        space.check([[1, 2, 3]])


@every_space
@pytest.mark.parametrize("change", ["", "nonsense", "{}-{}", "x{}", "{}.1", "{}a", "-{}"])
def test_a_broken_string_is_answered_with_an_example(space: Space, change: str) -> None:
    text = change.format(space.example, space.example)
    with pytest.raises(InputError, match=r"is no subnet of .* expected"):
        space.parse(text)


def test_values_cannot_move_between_groups() -> None:
    depths, widths, expands = CIFAR.example.split("-")
    moved = "-".join([depths + "." + widths[1:].split(".")[0], "w" + widths[4:], expands])
    with pytest.raises(InputError, match="is no subnet"):
        CIFAR.parse(moved)


@every_space
def test_a_space_reads_back_from_its_description(space: Space) -> None:
    assert space_from_dict(space.to_dict()) == space
    assert space_from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_an_unknown_space_is_answered_with_near_names() -> None:
    with pytest.raises(InputError, match="unknown space 'resnet-cifr'; did you mean resnet-cifar"):
        get_space("resnet-cifr")


# ---- operators ----------------------------------------------------------------------


@every_space
@given(data=st.data())
def test_operators_are_not_negative_and_absent_ones_are_zero(
    space: Space, data: st.DataObject
) -> None:
    genes = space.sample(5, np.random.default_rng(data.draw(st.integers(0, 99))))
    operators = space.operators(genes, data.draw(head_sets(space)))
    n_slots = len(operators.kinds)
    assert len(operators.stages) == n_slots
    assert set(operators.stages) <= set(range(space.n_exits + 1))
    names = ["c_in", "c_out", "kernel", "side_in", "side_out", "residual"]
    for name in [*names, "macs", "params", "elements_moved"]:
        values = getattr(operators, name)
        assert values.shape == (5, n_slots)
        assert (values >= 0).all()
        assert not values[~operators.present].any()


def test_what_is_no_population_is_one_line() -> None:
    space, other = get_space("resnet-digits"), get_space("ofa-mobilenetv3")
    for genes in (space.largest + 0.5, space.largest * np.nan, "d2.2", [None]):
        with pytest.raises(InputError, match="genes must be whole numbers, got"):
            space.check(genes)
    assert space.check(space.largest.astype(float)).tolist() == space.largest.tolist()
    with pytest.raises(InputError, match=r"has 16 genes, got shape \(1, 1, 16\)"):
        space.check(space.largest[None])
    with pytest.raises(InputError, match="one row of genes makes a subnet, got 2"):
        space.subnet(np.repeat(space.largest, 2, axis=0))
    with pytest.raises(InputError, match=r"a subnet of resnet-digits has 16 genes, got \d+"):
        space.genes([other.subnet(other.largest)])
    with pytest.raises(TypeError, match="'Subnet' object is not iterable"):
        space.genes(space.subnet(space.largest))
    for name in (3, None):
        with pytest.raises(InputError, match="a space must be a name, a folder or a `Space`, got"):
            get_space(name)
