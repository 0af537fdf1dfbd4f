"""A search that begins with the subnets of an earlier result."""

import hashlib
from collections import Counter
from dataclasses import replace

import optuna
import pytest

from nas.search import run_search
from nas.search.listener import Silent
from nas.search.study.warm_start import ATTRIBUTE, read_warm_start, warm_start
from search_spaces import InputError, get_space
from tests.nas.search.conftest import OWN


@pytest.fixture
def earlier(settings):
    run_search(settings)
    return settings.folder / "pareto.json"


def test_subnets_at_most_levels_come_first_and_a_study_remembers_them(settings, earlier):
    again = replace(settings, warm_start=earlier)
    study = optuna.create_study()
    warm = warm_start(again, study, OWN, Silent())
    assert warm is not None
    assert warm.sha256 == hashlib.sha256(earlier.read_bytes()).hexdigest()
    assert warm.genes(OWN).shape == (len(warm.subnets), len(OWN.choices))
    levels = Counter(p["subnet"] for p in run_search(settings, resume=True).points)
    counts = [levels[text] for text in warm.subnets]
    assert counts == sorted(counts, reverse=True)
    assert set(warm.subnets) == set(levels)
    earlier.unlink()
    assert warm_start(again, study, OWN, Silent()) == warm


def test_nothing_is_read_where_nothing_is_asked(settings):
    assert warm_start(settings, optuna.create_study(), OWN, Silent()) is None


def test_another_space_or_an_attribute_of_somebody_else_is_refused(settings, earlier):
    with pytest.raises(InputError, match="holds subnets of mine, the search is in resnet-digits"):
        read_warm_start(earlier, get_space("resnet-digits"))
    study = optuna.create_study()
    study.set_user_attr(ATTRIBUTE, {"from": "elsewhere"})
    with pytest.raises(InputError, match="attribute `warm_start` is none of ours"):
        warm_start(replace(settings, warm_start=earlier), study, OWN, Silent())
