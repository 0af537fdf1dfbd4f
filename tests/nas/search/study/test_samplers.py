"""Samplers by name and as objects."""

import optuna
import pytest

from nas.samplers import GenerationSampler
from nas.search import SearchSettings
from nas.search.study.samplers import in_batches, sampler_of
from search_spaces import InputError
from tests.nas.synthetic import digits_space

SPACE = digits_space()


def named(sampler):
    return sampler_of(SearchSettings("nano", "run", sampler=sampler, population=10), SPACE)


def test_names_are_our_samplers_or_optunas():
    assert isinstance(named("nsga2"), GenerationSampler)
    assert type(named("surrogate")).__name__ == "SurrogateSampler"
    assert isinstance(named("optuna:TPESampler"), optuna.samplers.TPESampler)
    assert isinstance(named("optuna:BruteForceSampler"), optuna.samplers.BruteForceSampler)


def test_an_object_is_taken_as_it_is():
    sampler = optuna.samplers.RandomSampler(seed=1)
    assert named(sampler) is sampler
    assert in_batches(sampler) is None
    assert in_batches(named("nsga2")).population == 10


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("optuna:NoSampler", "`sampler` names 'NoSampler'; optuna.samplers has BruteForceSampler"),
        ("optuna:GridSampler", "`sampler` GridSampler needs arguments"),
        ("optuna:nsgaii", "`sampler` names 'nsgaii'"),
    ],
)
def test_a_name_that_makes_no_sampler_is_one_line(name, said):
    with pytest.raises(InputError, match=said):
        named(name)
