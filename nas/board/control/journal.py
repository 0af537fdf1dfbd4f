"""What was changed on a board, so that it is put back: at the end, or by the next process.

Every change is a line on disk before it is made, with the value before it. Undoing all of them,
last first, passes only through states that were there before, so the kernel refuses none (min <=
max). The kernel holds the lock for the owner: a journal that is neither locked nor empty is a
killed run's. What is undone is checked first, for a journal may have been written by another: a
file below /sys, or the power-mode tool; so is its folder, which its owner alone may write.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
from typing import Any

from .sysfs import BoardError, MissingError, Sysfs

PLACES = ("/var/lib/nas", "~/.nas")  # not /run: a power mode outlives a boot
FILE = "clocks.journal"
SYS = "/sys"  # what can be changed, by `change` and by undoing
TOOL = "nvpmodel"  # the one program that is run to undo a change
MAX_BYTES = 1 << 20


class BusyError(BoardError):
    """Another process measures on this board."""

    def __init__(self, message: str, owner: dict[str, Any]) -> None:
        super().__init__(message)
        self.owner = owner


class Journal:
    """The one way to change a board. Opening it puts back what a killed process left.

    `recovered`: what was put back; `faults`: what could not be.
    BusyError: another owner lives.
    """

    def __init__(
        self, fs: Sysfs, path: str | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self.fs, self.path = fs, path or _place(fs)
        self._file = _open_own(self.path)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            try:
                owner = next((line for _, line in self._lines()), {})
            except BoardError:  # its owner writes it
                owner = {}
            self._file.close()
            does = "governing" if owner.get("what") == "nas govern" else "measuring on"
            raise BusyError(
                f"process {owner.get('pid', 'unknown')} is {does} this board ({self.path}); "
                "wait for it",
                owner,
            ) from None
        self.recovered: list[str] = []
        self.faults: list[str] = []
        self._noted: list[tuple[int, dict[str, Any]]] = []  # where the line begins, the change
        self._owner = {"pid": os.getpid(), "boot": self._boot(), **(about or {})}
        self._recover()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Changes that are not undone, the first one first."""
        return [entry for _, entry in self._noted]

    def change(self, path: str, value: object) -> None:
        """Write `value` to a file of the board, after its old value is safe on disk."""
        _check_path(self.fs, path)
        self._note({"path": path, "old": self.fs.read(path)})
        try:
            self.fs.write(path, value)
        except BoardError:
            self.drop_last()
            raise

    def note_value(self, path: str) -> None:
        """Before a program changes a file: what to put back behind its own undoing."""
        _check_path(self.fs, path)
        self._note({"path": path, "old": self.fs.read(path)})

    def note_command(self, name: str, *undo: str) -> None:
        """Before a program makes a change that outlives a boot: the call that undoes it."""
        self._note({"command": [name, *undo]})

    def drop_last(self) -> None:
        """Forget the last change: it was undone, or could not be made."""
        at, _ = self._noted.pop()
        self._file.truncate(at)

    def restore(self, start: int = 0) -> list[str]:
        """Put back what was changed since entry `start`, last change first.

        Each line leaves the journal once its change is undone, so that a kill on the way leaves
        those still to undo. Returns faults, whose changes stay noted.
        """
        left = self._undo_since(start)[0]
        for entry in left:
            self._note(entry)
        # a lowest clock may have to wait until the highest is back: once more, the other way round
        left, faults = self._undo_since(start) if left else ([], [])
        for entry in left:
            self._note(entry)
        return faults

    def _undo_since(self, start: int) -> tuple[list[dict[str, Any]], list[str]]:
        """Undo and forget, last first; what could not be undone, in that order, and why."""
        left, faults = [], []
        while len(self._noted) > start:
            _, entry = self._noted[-1]
            try:
                self._undo(entry)
            except MissingError:
                pass  # a core that a power mode took away took its clock with it
            except BoardError as error:
                left.append(entry)
                faults.append(str(error))
            self.drop_last()
        return left, faults

    def close(self) -> None:
        """Restore, and give the board free."""
        try:
            self.faults += self.restore()
            if not self._noted:  # nor a line whose change a signal came before
                self._file.truncate(0)
        finally:
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _recover(self) -> None:
        head, *entries = self._lines() or [(0, {})]
        for at, entry in entries:
            self._check(at, entry)
        if head[1].get("boot") != self._boot():  # it reset the clocks, but not the power mode
            entries = [(at, entry) for at, entry in entries if "command" in entry]
        self._noted = entries
        self.recovered = [_words(entry) for entry in self.entries]
        self.faults = self.restore()
        left, self._noted = self.entries, []
        self._file.truncate(0)
        self._write(self._owner)
        for entry in left:
            self._note(entry)

    def _undo(self, entry: dict[str, Any]) -> None:
        if "command" in entry:
            name, *arguments = entry["command"]
            self.fs.run(name, *arguments, answer="no\n")
        elif self.fs.read(entry["path"]) != entry["old"]:
            self.fs.write(entry["path"], entry["old"])

    def _note(self, entry: dict[str, Any]) -> None:
        self._noted.append((self._write(entry), entry))

    def _write(self, entry: dict[str, Any]) -> int:
        """Append a line, on disk before anything else happens; returns where it begins.

        BoardError: there is no room for it; no half of it stays, which the next line would join.
        """
        at = int(self._file.seek(0, os.SEEK_END))
        left = json.dumps(entry).encode() + b"\n"
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(at)
            raise BoardError(
                f"cannot note a change in {self.path}: {error.strerror or error}; it was not made"
            ) from None
        return at

    def _lines(self) -> list[tuple[int, dict[str, Any]]]:
        """Whole lines and where they begin; a torn last one is a change that was never made."""
        self._file.seek(0)
        text = self._file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise self._refusal(f"is larger than {MAX_BYTES} bytes")
        found, at = [], 0
        for number, line in enumerate(text.split(b"\n")[:-1], start=1):
            try:
                entry = json.loads(line.decode())
            except (ValueError, RecursionError):
                entry = None
            if not isinstance(entry, dict):
                raise self._refusal(f"line {number} is no JSON object")
            found.append((at, entry))
            at += len(line) + 1
        return found

    def _check(self, at: int, entry: dict[str, Any]) -> None:
        """BoardError where a line, at byte `at`, is no change that this class makes."""
        command = entry.get("command")
        if set(entry) == {"command"} and isinstance(command, list) and len(command) == 3:
            if command[:2] == [TOOL, "-m"] and re.fullmatch(r"\d{1,3}", str(command[2])):
                return
        elif set(entry) == {"path", "old"} and isinstance(entry["old"], str):
            _check_path(self.fs, entry["path"], self.path)
            return
        raise self._refusal(f"asks at byte {at} for what is never done to a board")

    def _refusal(self, why: str) -> BoardError:
        return BoardError(
            f"journal {self.path}: {why}; nothing of it was undone: look at it, put back what it "
            "says by hand if it is yours, and remove it"
        )

    def _boot(self) -> str:
        path = "/proc/sys/kernel/random/boot_id"
        return self.fs.read(path) if self.fs.exists(path) else ""


def _open_own(path: str) -> Any:
    """The journal, opened where nobody else can have written it; BoardError says what to mend."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BoardError(f"cannot open journal {path}: {error.strerror or error}") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise BoardError(f"journal {path} is no file")
    file = os.fdopen(number, "a+b", buffering=0)  # a buffer would write again what had no room
    for name, found in ((path, os.fstat(number)), (folder, os.stat(folder))):
        whose = found.st_uid in (0, os.geteuid())
        if not whose or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            file.close()
            raise BoardError(
                f"{name} can be written by others (mode {stat.S_IMODE(found.st_mode):04o}, owner "
                f"{found.st_uid}), so its journal is not trusted: remove the journal if it is not "
                f"yours, and `chmod go-w {name}`"
            )
    return file


def _check_path(fs: Sysfs, path: Any, journal: str | None = None) -> None:
    """BoardError where `path` is not below /sys, by its name and where its links lead."""
    top = os.path.realpath(fs.path(SYS)) + os.sep
    plain = isinstance(path, str) and path.isprintable() and len(path) <= 4096
    below = plain and os.path.normpath(path).startswith(SYS + os.sep)
    if not (below and os.path.realpath(fs.path(path)).startswith(top)):
        where = f"journal {journal} names" if journal else "asked to write"
        raise BoardError(f"{where} {str(path)[:200]!r}: only files below {SYS} are ever written")


class FastWrites:
    """Changes without a sync: a file's first value is safe on disk once, before its first change.

    The journal puts that value back whatever was written since, after SIGKILL too.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal, self.fs = journal, journal.fs
        self._known: set[str] = set()

    def change(self, path: str, value: object) -> None:
        if path not in self._known:
            self.journal.note_value(path)
            self._known.add(path)
        self.fs.write(path, value)


def _place(fs: Sysfs) -> str:
    """Where root keeps the journal, else the user's own."""
    folders = [fs.path(PLACES[0]), os.path.expanduser(PLACES[1])]
    for folder in folders:
        if folder.startswith("~"):  # a user without a home
            continue
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            path = os.path.join(folder, FILE)
            if os.access(path if os.path.lexists(path) else folder, os.W_OK, effective_ids=True):
                return path
        except OSError:
            continue
    raise BoardError(f"cannot keep a journal in {' or '.join(folders)}: neither can be written")


def _words(entry: dict[str, Any]) -> str:
    if "command" in entry:
        return "`" + " ".join(entry["command"]) + "`"
    return f"{entry['path']} = {entry['old']}"
