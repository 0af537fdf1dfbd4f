"""What the project asks of files and folders that a user named, and of text about them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search_spaces import InputError, write_text

LOCK = "run.lock"


def sha256_of(path: Path) -> str:
    """The checksum of a file; `supernets.sha256` without the seconds that torch takes to load."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(line: bytes) -> dict[str, Any] | None:
    """The record in a line of a log; None: it is no object of JSON."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def without_password(text: str) -> str:
    """`text` as it may be shown and kept: the passwords of URLs in it are stars."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)


def first_line(error: BaseException) -> str:
    """What a library's error says, as part of a line for the user."""
    cause = error.__cause__ or error
    return (str(cause) or type(cause).__name__).strip().splitlines()[0]


@contextmanager
def held(lock: Path, busy: str) -> Iterator[None]:
    """Hold the file `lock` for this process; the system lets go of it when the process dies.

    InputError: `busy` where another process holds it, or what is there is no plain file of its own:
    opening a link would empty the file that it leads to.
    """
    if lock.is_symlink() or (lock.exists() and not lock.is_file()):
        kind = "a link" if lock.is_symlink() else "no file"
        raise InputError(f"{lock} is {kind}; remove it, a run keeps its lock there")
    own = FileLock(lock)
    try:
        own.acquire(blocking=False)
    except Timeout:
        raise InputError(busy) from None
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot lock {lock}: {reason}") from None
    try:
        yield
    finally:
        own.release()


def exclusive(folder: Path, work: str = "search") -> AbstractContextManager[None]:
    """Hold `folder`, which is there, for one `work` (search, training) at a time."""
    busy = f"another {work} is running in {folder}; wait for it or choose another `out`"
    return held(folder / LOCK, busy)


def same_file(one: Path, other: Path | str) -> bool:
    """Whether two paths lead to one file, also by links."""
    return one.resolve() == Path(other).resolve()


def check_apart(name: str, written: Path | None, *read: Path) -> None:
    """InputError: the argument `name` is a file that the same command reads, and would replace."""
    if written is not None and any(same_file(written, path) for path in read):
        raise InputError(f"`{name}` is {written}, which this command reads; name another file")


def check_file(path: Path, name: str = "out") -> None:
    """Make the folder of a file that the user named; InputError says why it cannot be written.

    `name` is the argument that names it.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it")
    if path.is_file() or not path.exists():  # a pipe, or `/dev/stdout`, is written into
        prepare_folder(path.parent, name)


def write_for_user(path: Path, text: str, name: str = "out") -> None:
    """`write_text` to a path that the user chose; InputError says why it cannot be."""
    check_file(path, name)
    write_text(path, text)


def prepare_folder(folder: Path, name: str = "out") -> None:
    """Make `folder` and check that it can be written; InputError says why not.

    `name` is the argument that names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable.tmp"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may ask at the same time
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot write to {folder}: {reason}; choose another `{name}`") from None


def check_new(out: Path) -> None:
    """InputError where `out` cannot become a new folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already; choose another `out` or remove it")
    if out.resolve() == Path.cwd():  # it would be another folder, and this shell in the one before
        raise InputError(f"`out` {out} is the folder that you are in; name a new one")
    check_place(out)


def check_place(out: Path) -> None:
    """InputError where the folder `out` can be neither made nor written; nothing is made.

    Said before minutes of work, not after them.
    """
    whole = out.resolve()
    place = next(folder for folder in (whole, *whole.parents) if folder.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        why = os.strerror(errno.EACCES if place.is_dir() else errno.ENOTDIR)
        raise InputError(f"cannot write to {place}: {why}; choose another `out`")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` when the block is done and is gone where that failed.

    It lies beside `out` under a hidden name of ours: what a killed process left there goes away
    with the next run, and no `OUT.tmp` of somebody else's. InputError: `out` cannot become a new
    folder, or another process makes it.
    """
    check_new(out)
    out = out.resolve()  # where a link leads: a link to an empty folder is none itself
    aside, lock = (out.with_name(f".{out.name}.nas.{end}") for end in ("tmp", "lock"))
    prepare_folder(out.parent)
    with held(lock, f"another command is writing {out}; wait for it or choose another `out`"):
        shutil.rmtree(aside, ignore_errors=True)
        try:
            aside.mkdir()
            yield aside
            check_new(out)  # what a command makes takes a while
            if out.exists():
                out.rmdir()
            os.replace(aside, out)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            lock.unlink(missing_ok=True)
