"""The study on disk: bulk records that Optuna reads, damage that a kill can do, resuming."""

import multiprocessing
import time

import numpy as np
import optuna
import pytest

from nas.files import exclusive
from nas.samplers.domain import trial_genes
from nas.samplers.nsga2 import GenerationSampler
from nas.search.front.progress import STALL
from nas.search.problem import Problem
from nas.search.score.bounds import Bounds
from nas.search.score.scorer import Scorer
from nas.search.study.generations import run
from nas.search.study.open import open_study
from search_spaces import InputError, PolicyGrid
from tests.nas.synthetic import CLOCKS_GHZ, FormulaAccuracy, FormulaCost, digits_space

SPACE = digits_space()
SCORER = Scorer(FormulaAccuracy(SPACE, PolicyGrid(SPACE.n_exits, (0.7,))), FormulaCost(SPACE), 0.01)
PROBLEM = Problem(SPACE, SCORER, Bounds(), (len(CLOCKS_GHZ),))


def go(journal, n_trials, *, population=10, storage=None, patience=None):
    sampler = GenerationSampler(SPACE, seed=5, population=population)
    study = open_study(storage, journal, sampler)
    archive = run(study, PROBLEM, n_trials, patience=patience)
    return study, archive


def costs(archive):
    return [front.costs[np.lexsort(front.costs.T)] for front in archive.fronts]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of 45 trials: its journal and its fronts."""
    journal = tmp_path_factory.mktemp("whole") / "study.journal"
    _, archive = go(journal, 45)
    return journal.read_bytes(), costs(archive)


def test_optuna_reads_every_trial_with_its_genes_values_and_constraints(tmp_path):
    journal = tmp_path / "study.journal"
    _, archive = go(journal, 25)
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))
    assert len(study.trials) == 25
    assert set(study.trials[0].params) == set(SPACE.gene_names)
    assert study.metric_names == ["top1_error_pct", "latency_ms", "energy_mj"]
    np.testing.assert_array_equal(trial_genes(SPACE, study.trials), archive.population())
    assert len(study.best_trials) > 0


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.37, 0.5, 0.83, 0.999, 1.0])
def test_a_journal_cut_anywhere_goes_on_to_the_same_result(tmp_path, whole, keep):
    data, expected = whole
    journal = tmp_path / "study.journal"
    journal.write_bytes(data[: int(keep * len(data))])
    (tmp_path / "study.journal.lock").symlink_to("dead")
    study, archive = go(journal, 45)
    assert len(study.trials) == 45
    for found, wanted in zip(costs(archive), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_more_trials_continue_a_finished_study(tmp_path, whole):
    journal = tmp_path / "study.journal"
    go(journal, 25)
    _, archive = go(journal, 45)
    for found, wanted in zip(costs(archive), whole[1], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_database_serves_as_well_as_the_journal(tmp_path, whole):
    url = f"sqlite:///{tmp_path}/study.db"
    go(tmp_path / "unused", 17, storage=url)
    study, archive = go(tmp_path / "unused", 45, storage=url)
    assert len(study.trials) == 45
    for found, wanted in zip(costs(archive), whole[1], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_patience_ends_a_search_whose_hypervolume_stalls(tmp_path):
    _, archive = go(tmp_path / "study.journal", 2000, population=10, patience=3)
    assert archive.n_subnets < 2000
    volumes = [sum(p.hypervolume) for p in archive.progress]
    grown = [now / before - 1 for before, now in zip(volumes, volumes[3:], strict=False)]
    assert grown[-1] < STALL
    assert all(growth >= STALL for growth in grown[:-1])


def test_first_members_come_first_and_do_not_break_resuming(tmp_path):
    first = SPACE.sample_spread(4, np.random.default_rng(9))
    runs = []
    for parts in ([25], [7, 25]):
        journal = tmp_path / f"{len(parts)}.journal"
        for n_trials in parts:
            sampler = GenerationSampler(SPACE, seed=5, population=10)
            sampler.start_from(first)
            study = open_study(None, journal, sampler)
            archive = run(study, PROBLEM, n_trials)
        runs.append(archive)
    np.testing.assert_array_equal(runs[0].population()[: len(first)], first)
    np.testing.assert_array_equal(runs[0].population(), runs[1].population())
    assert len(np.unique(runs[0].population(), axis=0)) == 25


def test_trials_of_somebody_else_are_not_continued(tmp_path):
    journal = tmp_path / "study.journal"
    study, _ = go(journal, 15)
    study.add_trial(study.trials[0])
    with pytest.raises(InputError, match="holds trials that this search with this seed did not"):
        go(journal, 25)


def test_a_line_damaged_in_the_middle_is_refused(tmp_path, whole):
    journal = tmp_path / "study.journal"
    lines = whole[0].splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], b"garbage\n", *lines[5:]]))
    with pytest.raises(InputError, match="damaged at line 6"):
        go(journal, 25)


def test_one_folder_is_for_one_process_until_it_dies(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold_until_killed, args=(tmp_path, ready))
    process.start()
    assert ready.wait(10)
    with pytest.raises(InputError, match="another search is running"), exclusive(tmp_path):
        pass
    process.kill()
    process.join()
    with exclusive(tmp_path):
        pass


def _hold_until_killed(folder, ready):
    with exclusive(folder):
        ready.set()
        time.sleep(60)


def test_a_bad_storage_url_is_one_line(tmp_path):
    sampler = GenerationSampler(SPACE)
    with pytest.raises(InputError, match="cannot open `storage` nonsense"):
        open_study("nonsense", tmp_path / "j", sampler)
