"""Where the study lives: a journal file or a database, perhaps shared, and how they fail.

Two searches may work on one study: both breed the same generations, and they take turns in writing,
so every trial is recorded once. Where turns cannot be taken, a subnet counts at its first record.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, _CachedStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.trial import FrozenTrial
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from nas.files import first_line, without_password
from nas.search.study.journal import repair
from search_spaces import Genes, InputError

JOURNALS = (".journal", ".log")
N_ATTEMPTS = 5  # two searches may both try to make the tables, and one of them finds
MADE_MEANWHILE = ("already exists", "UNIQUE constraint", "duplicate key")
SQLITE_WAIT_S = 120  # for the other search's writes
PG_LOCK = 0x6E6173  # "nas"


def open_storage(storage: str | None, journal: Path) -> BaseStorage:
    """The database at the URL `storage`, a journal file of that name, or `journal` without it."""
    if storage is None:
        if journal.exists():
            repair(journal)
        return open_journal(journal)
    if "://" not in storage and Path(storage).suffix in JOURNALS:
        try:
            return open_journal(Path(storage))
        except OSError as error:
            raise _cannot_open(storage, error) from None
    for attempt in range(N_ATTEMPTS):
        try:
            return RDBStorage(storage, engine_kwargs=_engine(storage))
        except ImportError as error:
            raise InputError(
                f"cannot open --storage {without_password(storage)}: {error}; for PostgreSQL: "
                "pip install 'nas[postgresql]'"
            ) from None
        except Exception as error:  # SQLAlchemy raises many kinds
            raced = any(words in str(error) for words in MADE_MEANWHILE)
            if attempt == N_ATTEMPTS - 1 or not raced:
                raise _cannot_open(storage, error) from None
    raise AssertionError("unreachable")


def open_journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path), lock_obj=KernelLock(path)))


def _engine(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": SQLITE_WAIT_S}}
    return {"pool_pre_ping": True}  # a restarted server is found again


def _cannot_open(storage: str, error: Exception) -> InputError:
    return InputError(
        f"cannot open --storage {without_password(storage)}: {first_line(error)}; "
        "give a URL such as sqlite:///study.db or postgresql+psycopg://USER@HOST/NAME, "
        "or a file NAME.journal"
    )


class KernelLock(BaseJournalFileLock):
    """Optuna's lock of a journal, held by the kernel: it ends with its process.

    Before it writes, it cuts off the line that a writer left unfinished when it was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> bool:
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


@contextmanager
def turn(storage: BaseStorage) -> Iterator[None]:
    """Only one search of a study is in here; a lock that ends with its holder."""
    if isinstance(storage, _CachedStorage):
        storage = storage._backend
    if isinstance(storage, RDBStorage) and storage.engine.dialect.name == "postgresql":
        with storage.engine.connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({PG_LOCK})"))
            try:
                yield
            finally:
                connection.execute(text(f"SELECT pg_advisory_unlock({PG_LOCK})"))
        return
    path = _file(storage)
    if path is None:
        yield
        return
    with path.with_name(path.name + ".turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.stat()  # SQLite would go on writing into a file that was deleted
        yield


def _file(storage: BaseStorage) -> Path | None:
    if isinstance(storage, JournalStorage):
        return Path(storage._backend._file_path)  # type: ignore[attr-defined]
    if isinstance(storage, RDBStorage) and storage.engine.dialect.name == "sqlite":
        database = storage.engine.url.database
        return Path(database) if database else None
    return None


def first_records(genes: Genes, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """`trials` with `genes` (n, genes), each subnet at its first record."""
    _, first = np.unique(genes, axis=0, return_index=True)
    return [trials[i] for i in sorted(first)]


@contextmanager
def faults_named(where: str) -> Iterator[None]:
    """A full disk, a lost database: one line instead of a traceback."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, KeyError) as error:
        raise InputError(
            f"the study in {without_password(where)} failed: {first_line(error)}; every trial that "
            "was recorded is kept: mend it and go on with --resume"
        ) from None
