"""Batches recorded at once against Optuna's own way, read back by Optuna."""

import ast
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.samplers.domain import distributions, trial_params
from nas.search.study import record
from nas.search.study.journal import repair
from nas.search.study.record import add_finished
from search_spaces import get_space

SPACE = get_space("resnet-digits")
GENES = SPACE.sample(30, np.random.default_rng(0))
VALUES = np.random.default_rng(1).random((30, 3)) * [100, 1e-9, 1e9]
VIOLATION = np.linspace(-1, 1, 30)
TIMES = ("_datetime_start", "datetime_complete")


def new_study(storage):
    return optuna.create_study(directions=["minimize"] * 3, storage=storage, study_name="s")


def add(study, start=0, stop=30):
    rows = slice(start, stop)
    params = trial_params(SPACE, GENES[rows])
    add_finished(study, distributions(SPACE), params, VALUES[rows], VIOLATION[rows])


def plain(trial):
    return {k: v for k, v in vars(trial).items() if k not in TIMES}


def storages(kind, folder):
    """The same storage twice: as this process has it, and as another one opens it."""
    if kind == "memory":
        storage = InMemoryStorage()
        return storage, lambda: storage
    path = str(folder / "study.journal")
    return JournalStorage(JournalFileBackend(path)), lambda: JournalStorage(
        JournalFileBackend(path)
    )


@pytest.fixture(params=["memory", "journal"])
def opened(request, tmp_path):
    return storages(request.param, tmp_path)


@pytest.fixture
def slow(monkeypatch):
    """What Optuna makes of the same batch by itself."""
    monkeypatch.setattr(record, "CHECKED", ())
    study = new_study(InMemoryStorage())
    add(study)
    monkeypatch.undo()
    return study


def test_optuna_reads_back_what_it_would_have_written(opened, slow):
    storage, again = opened
    study = new_study(storage)
    add(study, 0, 12)
    add(study, 12, 30)
    reader = optuna.load_study(study_name="s", storage=again())
    for s in (study, reader):
        assert list(map(plain, s.trials)) == list(map(plain, slow.trials))
        assert [t.number for t in s.best_trials] == [t.number for t in slow.best_trials]
        for trial in s.trials:
            trial._validate()
            assert trial.duration is not None
    assert reader.trials_dataframe().shape == slow.trials_dataframe().shape


def test_optuna_goes_on_where_a_batch_ended(opened):
    storage, again = opened
    study = new_study(storage)
    add(study)
    for s in (study, optuna.load_study(study_name="s", storage=again())):
        n = len(s.trials)
        trial = s.ask(distributions(SPACE))
        s.tell(trial, [1, 2, 3])
        assert trial.number == n
        assert s.trials[-1].values == [1, 2, 3]
    reader = optuna.load_study(study_name="s", storage=again())
    assert [t.number for t in reader.trials] == list(range(32))
    add(reader, 0, 5)
    assert [t.number for t in reader.trials] == list(range(37))


def test_optunas_samplers_learn_from_a_batch(opened):
    storage, _ = opened
    study = new_study(storage)
    add(study)
    study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=5)
    assert set(study.ask(distributions(SPACE)).params) == set(SPACE.gene_names)


@pytest.mark.parametrize("version", ["4.9.1", "5.1.0", "6.0.0"])
def test_another_version_of_optuna_gets_its_own_way(opened, slow, monkeypatch, version):
    def never(*arguments):
        raise AssertionError("the layout of this version was not checked")

    monkeypatch.setattr(optuna, "__version__", version)
    monkeypatch.setattr(record, "_append", never)
    monkeypatch.setattr(record, "_extend", never)
    study = new_study(opened[0])
    add(study)
    assert list(map(plain, study.trials)) == list(map(plain, slow.trials))


def test_the_installed_version_is_checked():
    assert optuna.__version__.rsplit(".", 1)[0] in record.CHECKED


def test_an_empty_batch_writes_nothing(tmp_path):
    study = new_study(storages("journal", tmp_path)[0])
    before = (tmp_path / "study.journal").read_bytes()
    add(study, 4, 4)
    assert (tmp_path / "study.journal").read_bytes() == before


def test_nan_is_refused(opened):
    study = new_study(opened[0])
    params = trial_params(SPACE, GENES[:1])
    with pytest.raises(ValueError, match="must not be NaN"):
        add_finished(study, distributions(SPACE), params, np.full((1, 3), np.nan), np.zeros(1))
    assert not study.trials


def test_a_kill_in_the_middle_of_an_append_leaves_a_first_part(tmp_path):
    """A process appends without end and is killed; what is left opens and goes on."""
    path = tmp_path / "study.journal"
    new_study(JournalStorage(JournalFileBackend(str(path))))
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_append_for_ever, args=(path,))
    process.start()
    size = path.stat().st_size
    deadline = time.monotonic() + 20
    while path.stat().st_size < size + 100_000 and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.join()
    with path.open("r+b") as file:  # and the last page was not written whole
        os.truncate(file.fileno(), path.stat().st_size - 70)
    repair(path)
    study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    n = len(study.trials)
    assert n >= 30
    for trial in study.trials:
        assert trial.values == VALUES[trial.number % 30].tolist()
    add(study, 0, 5)
    assert len(study.trials) == n + 5


def _append_for_ever(path):
    study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    while True:
        add(study)


# ---- what is private in Optuna -----------------------------------------------------------------

PRIVATE = {
    "study": ("_storage", "_study_id"),
    "trial": ("_trial_id",),
    "memory": (
        *("_lock", "_studies", "_max_trial_id", "_trial_id_to_study_id_and_number"),
        "_update_cache",
    ),
    "journal": ("_backend",),
}
"""Every private member of Optuna that the search touches, by whose it is."""


def test_private_members_are_where_the_checked_versions_have_them(tmp_path):
    """Fails where Optuna's layout changes: then look at `record`, and at CHECKED."""
    memory, (journal, _) = InMemoryStorage(), storages("journal", tmp_path)
    study = new_study(memory)
    study.add_trial(optuna.create_trial(values=[1.0, 2.0, 3.0]))
    owners = {
        "study": study,
        "trial": study.trials[0],
        "memory": memory,
        "journal": journal,
    }
    for owner, value in owners.items():
        for name in PRIVATE[owner]:
            assert hasattr(value, name), f"{owner} of Optuna {optuna.__version__} has no {name}"
    assert hasattr(journal._backend, "append_logs")
    assert hasattr(memory._studies[study._study_id], "trials")
    assert optuna.__version__.rsplit(".", 1)[0] in record.CHECKED


def test_record_alone_touches_what_is_private_in_optuna():
    """Attributes with an underscore of anything but `self` stand in one file, and are all named."""
    folder = Path(record.__file__).parents[1]
    found = {}
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optuna"):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                assert not [n for n in names if n.startswith("_")], path
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                whose = ast.unparse(node.value)
                if whose not in ("self", "cls") and node.attr not in own and node.attr[1] != "_":
                    found.setdefault(path.name, set()).add(node.attr)
    assert set(found) == {"record.py"}
    assert found["record.py"] == {name for names in PRIVATE.values() for name in names}
