"""Where the study lives: a journal file or a database, perhaps shared, and how they fail.

Two searches may work on one study: both breed the same generations, and they take turns in writing,
so every trial is recorded once. Where turns cannot be taken, a subnet counts at its first record.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileOpenLock
from optuna.trial import FrozenTrial
from sqlalchemy import Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from nas.files import first_line, without_password
from nas.search.study.journal import Journal, repair
from search_spaces import Genes, InputError

JOURNALS = (".journal", ".log")
N_ATTEMPTS = 5  # two searches may both try to make the tables, and one of them finds
MADE_MEANWHILE = ("already exists", "UNIQUE constraint", "duplicate key")
SQLITE_WAIT_S = 120  # for the other search's writes
PG_LOCK = 0x6E6173  # "nas"
UNREADABLE = (AssertionError, ValueError, LookupError)  # what Optuna makes of damaged cells
START_AGAIN = "start again with `overwrite=True`"
KERNEL_LOCKS = os.name == "posix"


def open_storage(storage: str | None, journal: Path) -> BaseStorage:
    """The database at the URL `storage`, a journal file of that name, or `journal` without it."""
    if storage is None:
        if journal.exists():
            repair(journal)
        return open_journal(journal)
    if "://" not in storage and Path(storage).suffix in JOURNALS:
        try:
            return open_journal(Path(storage), shared=True)
        except OSError as error:
            raise _cannot_open(storage, error) from None
    for attempt in range(N_ATTEMPTS):
        try:
            return _database(storage)
        except InputError:
            raise
        except ImportError as error:
            raise InputError(
                f"cannot open `storage` {without_password(storage)}: {error}; for PostgreSQL: "
                "pip install 'nas[postgresql]'"
            ) from None
        except Exception as error:  # SQLAlchemy raises many kinds
            raced = any(words in str(error) for words in MADE_MEANWHILE)
            if attempt == N_ATTEMPTS - 1 or not raced:
                raise _cannot_open(storage, error) from None
    raise AssertionError("unreachable")


def _database(url: str) -> RDBStorage:
    """The database at `url`, which is changed only if it is empty or has Optuna's present tables.

    InputError: its tables are somebody else's, or another Optuna's.
    """
    engine = create_engine(url, **_engine(url))
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    made = "alembic_version" in tables  # the last one that Optuna makes
    if tables and "studies" not in tables and (made or engine.name == "sqlite"):
        raise InputError(
            f"`storage` {without_password(url)} holds no studies of Optuna but the table "
            f"{min(tables)}; give another database"
        )
    try:
        return RDBStorage(url, engine_kwargs=_engine(url), skip_table_creation=made)
    except RuntimeError as error:
        raise InputError(
            f"`storage` {without_password(url)} was made by another version of Optuna: "
            f"{first_line(error)}"
        ) from None


def open_journal(path: Path, *, shared: bool = False) -> JournalStorage:
    """The journal at `path`; without the kernel's locks (Windows) it cannot be `shared`."""
    lock: Any = KernelLock(path)  # has the two methods that Optuna calls, and no base class
    mend = "mend the line or give another `storage`" if shared else START_AGAIN
    if not KERNEL_LOCKS:
        if shared:
            raise InputError(
                f"`storage` {path}: searches cannot share a journal on this system; "
                "give a database URL such as sqlite:///study.db"
            )
        lock = JournalFileOpenLock(str(path))  # the run's folder is held by this process alone
    journal = Journal(path, lock, mend)
    try:
        return JournalStorage(journal)  # reads all of it
    except (InputError, OSError):
        raise
    except Exception:  # whatever Optuna makes of a record that lacks a key or has a wrong value
        raise journal.damaged() from None


def _engine(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": SQLITE_WAIT_S}}
    return {"pool_pre_ping": True}  # a restarted server is found again


def _cannot_open(storage: str, error: Exception) -> InputError:
    return InputError(
        f"cannot open `storage` {without_password(storage)}: {first_line(error)}; "
        "give a URL such as sqlite:///study.db or postgresql+psycopg://USER@HOST/NAME, "
        "or a file NAME.journal"
    )


class KernelLock:
    """A lock for Optuna's journals that the kernel holds: it ends with its process.

    Before it writes, it cuts off the line that a writer left unfinished when it was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        import fcntl

        self._file = os.open(self.path, os.O_RDWR)  # one that was deleted is not made again
        fcntl.flock(self._file, fcntl.LOCK_EX)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            whole = self.path.read_bytes()
            os.ftruncate(self._file, whole.rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def turns(storage: str | None) -> Callable[[], AbstractContextManager[Any]]:
    """What to enter before writing to `storage`: one search at a time is inside.

    A database server keeps the lock itself, files have one beside them; both end with their holder.
    None: nobody else writes.
    """
    if storage is None:
        return nullcontext
    if "://" not in storage:
        return partial(_file_turn, Path(storage))
    url = make_url(storage)
    if url.get_backend_name() == "postgresql":
        return partial(_server_turn, create_engine(url, **_engine(storage)))
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        return partial(_file_turn, Path(url.database))
    return nullcontext


@contextmanager
def _server_turn(engine: Engine) -> Iterator[None]:
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({PG_LOCK})"))
        try:
            yield
        finally:
            connection.execute(text(f"SELECT pg_advisory_unlock({PG_LOCK})"))


@contextmanager
def _file_turn(path: Path) -> Iterator[None]:
    with FileLock(path.with_name(path.name + ".turn")):
        path.stat()  # SQLite would go on writing into a file that was deleted
        yield


def first_records(genes: Genes, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """`trials` with `genes` (n, genes), each subnet at its first record."""
    _, first = np.unique(genes, axis=0, return_index=True)
    return [trials[i] for i in sorted(first)]


@contextmanager
def faults_named(where: str) -> Iterator[None]:
    """A full disk, a lost database, content that Optuna cannot read: one line, no traceback."""
    try:
        yield
    except InputError:
        raise
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, KeyError) as error:
        raise InputError(
            f"the study in {without_password(where)} failed: {first_line(error)}; every trial that "
            "was recorded is kept: mend it and go on with `resume=True`"
        ) from None
    except UNREADABLE as error:
        raise InputError(
            f"the study in {without_password(where)} is damaged: {type(error).__name__} "
            f"{first_line(error)[:200]}; give another `study` or `storage`, or `overwrite=True`"
        ) from None
