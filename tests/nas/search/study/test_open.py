"""The study of a search, and what decides its trials."""

import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest

from nas.pareto import OBJECTIVES
from nas.search.study import open as opening
from nas.search.study.open import note_value_levels, open_study
from search_spaces import InputError


def opened(tmp_path, **options):
    sampler = optuna.samplers.RandomSampler()
    return open_study(None, tmp_path / "study.journal", sampler, **options)


def test_a_study_has_a_direction_and_a_name_for_every_objective(tmp_path):
    study = opened(tmp_path, objectives=(*OBJECTIVES, "params"))
    assert study.metric_names == [*OBJECTIVES, "params"]
    assert len(study.directions) == 4


def test_another_search_is_refused_by_what_differs(tmp_path):
    opened(tmp_path, search={"seed": 0, "others": ("a",)})
    opened(tmp_path, search={"seed": 0, "others": ("a",)})
    with pytest.raises(InputError, match="was made with another seed; give the same settings"):
        opened(tmp_path, search={"seed": 1, "others": ("a",)})


@pytest.mark.parametrize("storage", ["{}/shared.journal", "sqlite:///{}/shared.db"])
def test_of_two_searches_that_begin_at_once_one_has_the_study(tmp_path, monkeypatch, storage):
    check, storage = opening.check_search, storage.format(tmp_path)

    def slow_check(*of):
        check(*of)
        time.sleep(0.3)  # the other one is here too, unless it waits for its turn

    monkeypatch.setattr(opening, "check_search", slow_check)

    def begin(seed):
        sampler = optuna.samplers.RandomSampler()
        try:
            return open_study(storage, tmp_path / "unused", sampler, search={"seed": seed})
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(begin, [0, 1]), key=lambda found: isinstance(found, str))
    assert "was made with another seed" in second
    assert first.user_attrs["search"] in ({"seed": 0}, {"seed": 1})


def test_the_levels_of_values_are_written_once(tmp_path):
    study = opened(tmp_path)
    for _ in range(2):
        note_value_levels(study, {"nano": 5}, None)
    assert study.user_attrs["value_levels"] == {"nano": 5}
    assert (tmp_path / "study.journal").read_text().count("value_levels") == 1


def test_the_users_own_studies_go_on_telling_what_they_did(tmp_path):
    before = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.INFO)
        opened(tmp_path)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
