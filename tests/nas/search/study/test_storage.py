"""Where a study can live: one search or two, killed servers, deleted files, full disks."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna
import pytest

from nas.samplers.nsga2 import GenerationSampler
from nas.search.study.generations import run
from nas.search.study.journal import repair
from nas.search.study.open import open_study
from nas.search.study.storage import MADE_MEANWHILE, N_ATTEMPTS, KernelLock, open_storage
from search_spaces import InputError
from tests.nas.conftest import in_process, nas, nas_in_process
from tests.nas.search.study.postgres import server
from tests.nas.search.study.test_generations import PROBLEM, SPACE, costs
from tests.nas.search.test_run import command, comparable

N_TRIALS = 25


@pytest.fixture(scope="module")
def postgres():
    with tempfile.TemporaryDirectory(prefix="nas-pg-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        with server(Path(folder) / "data") as running:
            yield running


@pytest.fixture(params=["journal", "sqlite", "postgres"])
def storage(request, tmp_path):
    """A storage by URL or file, and the name of a study that is not there yet."""
    if request.param == "journal":
        return str(tmp_path / "shared.journal")
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    return request.getfixturevalue("postgres").url


def go(storage, n_trials=N_TRIALS, *, name, on_generation=lambda generation: None, **search):
    """One search; `search` is what its study remembers of it."""
    sampler = GenerationSampler(SPACE, seed=5, population=10)
    study = open_study(storage, Path("unused"), sampler, name=name, search=search)
    options = {"shared": storage, "on_generation": on_generation}
    return study, run(study, PROBLEM, n_trials, **options)


def recorded(storage, name):
    """Trials as another process finds them, through Optuna alone."""
    study = optuna.load_study(study_name=name, storage=open_storage(storage, Path("unused")))
    return study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The fronts of an undisturbed search."""
    url = str(tmp_path_factory.mktemp("whole") / "whole.journal")
    return costs(go(url, name="whole")[1])


def same(archive, wanted):
    for found, expected in zip(costs(archive), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_two_searches_on_one_study_find_the_same_and_record_every_trial_once(storage, whole):
    name = f"two-{os.getpid()}"
    others = [in_process(go, storage, name=name) for _ in range(2)]
    for process in others:
        process.join(120)
        assert process.exitcode == 0
    trials = recorded(storage, name)
    assert len(trials) == N_TRIALS
    assert [t.number for t in trials] == list(range(N_TRIALS))
    same(go(storage, name=name)[1], whole)


def test_a_killed_search_is_continued_by_another(storage, whole):
    name = f"killed-{os.getpid()}"

    def until_killed():
        go(
            storage,
            name=name,
            on_generation=lambda g: g.n_trials < 10 or os.kill(os.getpid(), signal.SIGKILL),
        )

    process = in_process(until_killed)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    before = recorded(storage, name)
    assert 10 <= len(before) < N_TRIALS
    same(go(storage, name=name)[1], whole)
    after = recorded(storage, name)
    assert [t.values for t in after[: len(before)]] == [t.values for t in before]


def test_another_search_does_not_mix_with_a_study(storage):
    name = f"other-{os.getpid()}"
    go(storage, 10, name=name, device="nano")
    with pytest.raises(InputError, match=f"the study {name} in .* made with another device; give"):
        go(storage, 20, name=name, device="tx2")
    go(storage, 10, name=f"{name}-2", device="tx2")
    assert len(recorded(storage, name)) == 10


def test_overwrite_starts_the_study_again(storage):
    name = f"again-{os.getpid()}"
    go(storage, 10, name=name, device="nano")
    sampler = GenerationSampler(SPACE)
    search = {"device": "tx2"}
    study = open_study(storage, Path("unused"), sampler, name=name, search=search, overwrite=True)
    assert study.trials == []


def test_a_killed_server_is_one_line_and_costs_nothing_that_was_recorded(postgres, whole):
    def kill(generation):
        if generation.n_trials == 10:
            postgres.kill()

    with pytest.raises(InputError, match="every trial that was recorded is kept"):
        go(postgres.url, name="lost", on_generation=kill)
    postgres.start()
    assert len(recorded(postgres.url, "lost")) == 10
    same(go(postgres.url, name="lost")[1], whole)


def test_a_server_that_was_restarted_between_two_generations_is_found_again(postgres, whole):
    def restart(generation):
        if generation.n_trials == 10:
            postgres.kill()
            postgres.start()

    same(go(postgres.url, name="restarted", on_generation=restart)[1], whole)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_file_that_was_deleted_is_one_line(tmp_path, kind):
    file = tmp_path / ("study.journal" if kind == "journal" else "study.db")
    storage = str(file) if kind == "journal" else f"sqlite:///{file}"
    with pytest.raises(InputError, match="No such file"):
        go(storage, name="nas", on_generation=lambda generation: file.unlink())


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_full_disk_is_one_line_and_the_search_goes_on_when_there_is_room(tmp_path, kind, whole):
    """The kernel refuses to let a file grow further, as a full disk does."""
    file = tmp_path / ("study.journal" if kind == "journal" else "study.db")
    storage = str(file) if kind == "journal" else f"sqlite:///{file}"
    go(storage, 10, name="nas")
    n_recorded = 10

    def until_full():
        limit = file.stat().st_size + 5_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(InputError, match="every trial that was recorded is kept"):
            go(storage, name="nas")

    process = in_process(until_full)
    process.join(60)
    assert process.exitcode == 0
    if kind == "journal":
        repair(file)
    trials = recorded(storage, "nas")
    assert n_recorded <= len(trials) < N_TRIALS
    same(go(storage, name="nas")[1], whole)
    assert [t.values for t in recorded(storage, "nas")[: len(trials)]] == [t.values for t in trials]


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_clock_that_goes_back_changes_nothing(tmp_path, kind, whole, monkeypatch):
    """Of a board without a battery, or set by the network: trials end before they began."""
    hours = iter(range(1000))

    class Back(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 1, tzinfo=tz) - timedelta(hours=next(hours))

    monkeypatch.setattr("nas.search.study.record.datetime", Back)
    storage = str(tmp_path / "a.journal") if kind == "journal" else f"sqlite:///{tmp_path}/a.db"
    go(storage, 10, name="nas")
    same(go(storage, name="nas")[1], whole)


@pytest.mark.parametrize("n_races", [1, N_ATTEMPTS - 1, N_ATTEMPTS])
def test_searches_that_make_the_tables_at_once(n_races, monkeypatch):
    """The later one finds some of them there, and opens what the first has made."""
    tries = []

    def racing(*given, **options):
        tries.append(1)
        if len(tries) <= n_races:
            raise sqlite3.OperationalError(f"table studies {MADE_MEANWHILE[0]}")
        return optuna.storages.RDBStorage(*given, **options)

    monkeypatch.setattr("nas.search.study.storage.RDBStorage", racing)
    if n_races < N_ATTEMPTS:
        assert open_storage("sqlite:///:memory:", Path()).get_all_studies() == []
    else:
        with pytest.raises(InputError, match="cannot open `storage` sqlite:///:memory:: table stu"):
            open_storage("sqlite:///:memory:", Path())
    assert len(tries) == min(n_races + 1, N_ATTEMPTS)


def test_a_writer_that_was_killed_in_a_line_does_not_spoil_those_of_the_others(tmp_path):
    """Optuna's own lock would let the next line join the torn one."""
    journal = tmp_path / "shared.journal"
    study, _ = go(str(journal), 20, name="nas")
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_')
    study.set_user_attr("after", 1)
    assert len(recorded(str(journal), "nas")) == 20
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())


def test_the_lock_of_a_dead_process_holds_up_nobody(tmp_path):
    journal = tmp_path / "study.journal"
    go(str(journal), 10, name="nas")

    def die_inside():
        KernelLock(journal).acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    in_process(die_inside).join(20)
    go(str(journal), 20, name="nas")


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_optunas_command_reads_the_study(tmp_path, kind):
    storage = str(tmp_path / "study.journal") if kind == "journal" else f"sqlite:///{tmp_path}/s.db"
    options = ["--storage-class", "JournalFileBackend"] if kind == "journal" else []
    go(storage, 20, name="nas")
    optuna_command = [sys.executable, "-c", "from optuna.cli import main; main()", "trials"]
    done = subprocess.run(
        [*optuna_command, "--storage", storage, *options, "--study-name", "nas", "-f", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    trials = json.loads(done.stdout)
    assert len(trials) == 20
    assert set(trials[0]["params"]) == set(SPACE.gene_names)
    assert set(trials[0]["values"]) == {"top1_error_pct", "latency_ms", "energy_mj"}


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_optunas_dashboard_reads_the_study(tmp_path, kind):
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    storage = str(tmp_path / "study.journal") if kind == "journal" else f"sqlite:///{tmp_path}/s.db"
    study, _ = go(storage, 10, name="nas")
    request = {"PATH_INFO": f"/api/studies/{study._study_id}", "QUERY_STRING": "after=0"}
    setup_testing_defaults(request)
    app = dashboard.wsgi(open_storage(storage, Path("unused")))
    answer = app(request, lambda *said: None)
    found = json.loads(b"".join(answer))
    assert found["name"] == "nas"
    assert [t["state"] for t in found["trials"]] == ["Complete"] * 10
    assert found["objective_names"] == ["top1_error_pct", "latency_ms", "energy_mj"]


def test_two_commands_on_one_study_write_the_same_file(digits, tmp_path):
    """With the same target rows and settings; a third with others is refused by name."""
    url = f"sqlite:///{tmp_path}/study.db"
    folders = [tmp_path / "one", tmp_path / "two"]
    others = [nas_in_process(*on_database(digits, out, url)) for out in folders]
    for process in others:
        process.join(240)
        assert process.exitcode == 0
    assert comparable(folders[0]) == comparable(folders[1])
    assert len(recorded(url, "nas")) == 60
    done = nas(*on_database(digits, tmp_path / "three", url, "--seed", 1))
    assert done.code == 1
    assert f"the study nas in {url} was made with another seed" in done.err
    assert not (tmp_path / "three").exists()


def on_database(digits, out, url, *more):
    few = "--trials", 60, "--points", 5
    return command(digits, out, "--storage", url, "--quiet", *few, *more)


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("nonsense", "give a URL such as sqlite:///study.db"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/x", "cannot open `storage` postgresql"),
        ("/no/such/folder/study.journal", "No such file"),
        ("sqlite://me:secret@/x", r"cannot open `storage` sqlite://me:\*\*\*@/x"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line(storage, said):
    if "psycopg" in storage:
        pytest.importorskip("psycopg")
    with pytest.raises(InputError, match=said) as caught:
        go(storage, name="nas")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def tables(file):
    with closing(sqlite3.connect(file)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master")}


def test_a_database_of_another_program_is_refused_and_kept(tmp_path):
    file = tmp_path / "bookmarks.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(InputError, match="holds no studies of Optuna but the table bookmarks"):
        go(f"sqlite:///{file}", name="nas")
    assert tables(file) == {"bookmarks"}


def test_a_schema_of_another_optuna_is_refused_and_kept(tmp_path):
    """The oldest that Optuna can name, with a table of today's missing, and one of the future."""
    file = tmp_path / "study.db"
    storage = f"sqlite:///{file}"
    go(storage, 10, name="nas")
    for revision, said in (("v1.3.0.a", "storage upgrade"), ("v99.0.0.a", "updating optuna")):
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", [revision])
            database.execute("DROP TABLE IF EXISTS trial_heartbeats")
        before = file.read_bytes()
        with pytest.raises(InputError, match=f"by another version of Optuna: .*{said}") as caught:
            go(storage, 20, name="nas")
        assert "\n" not in str(caught.value)
        assert file.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        "trial_params SET distribution_json = 'x'",
        """trial_params SET distribution_json = '{"name": "Odd", "attributes": {}}'""",
        "study_user_attributes SET value_json = '{'",
        "trial_values SET value = NULL",
        "trials SET state = 'X'",
        "study_directions SET direction = 'X'",
    ],
)
def test_cells_that_optuna_cannot_read_are_one_line(tmp_path, change):
    file = tmp_path / "study.db"
    go(f"sqlite:///{file}", 10, name="nas")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"UPDATE {change}")
    before = file.read_bytes()
    with pytest.raises(
        InputError, match=r"study\.db (is damaged: |failed: |holds trial )"
    ) as caught:
        go(f"sqlite:///{file}", 20, name="nas")
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


def test_a_database_that_is_read_only_is_one_line(tmp_path):
    file = tmp_path / "study.db"
    go(f"sqlite:///{file}", 10, name="nas")
    read_only = f"sqlite:///file:{file}?mode=ro&uri=true"
    for name in ("nas", "new"):
        with pytest.raises(InputError, match="attempt to write a readonly database") as caught:
            go(read_only, 20, name=name)
        assert "\n" not in str(caught.value)


def test_a_damaged_database_is_one_line(tmp_path):
    file = tmp_path / "study.db"
    file.write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(InputError, match=r"cannot open `storage` .*(malformed|not a database)"):
        go(f"sqlite:///{file}", name="nas")
