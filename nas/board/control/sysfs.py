"""The kernel's files and a board's programs; every fault names the path and the permission."""

from __future__ import annotations

import errno
import glob
import grp
import os
import pwd
import re
import stat
import subprocess
from typing import Any, Dict

PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/opt/vc/bin", "/usr/src/tensorrt/bin")
RUN_TIMEOUT_S = 30.0
Description = Dict[str, Any]  # of a board, as the package's docstring shows it


class BoardError(Exception):
    """What was asked of the board cannot be done: one line with path, reason and what to do."""


class MissingError(BoardError):
    """A file or a program that this board does not have."""


class DeniedError(BoardError):
    """A file or a program that this user may not read, write or run."""


class OffError(BoardError):
    """A file whose hardware is off now, such as the clock of a cluster without online cores."""


class Sysfs:
    """Everything below `root`: `/` on a board, a folder in tests. Paths are the board's own."""

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def path(self, path: str) -> str:
        return os.path.join(self.root, path.lstrip("/"))

    def exists(self, path: str) -> bool:
        """False too where a folder on the way is closed; reading then says so."""
        return os.path.exists(self.path(path))

    def find(self, pattern: str) -> list[str]:
        """Paths that match, zone2 before zone10."""
        top = os.path.join(self.root, "")
        found = ["/" + path[len(top) :] for path in glob.glob(self.path(pattern))]
        return sorted(found, key=_by_number)

    def read(self, path: str) -> str:
        """The text of a file without spaces and zero bytes at its ends."""
        try:
            return self.raw_read(path).strip(" \t\n\0")
        except OSError as error:
            raise self.fault("read", path, error) from None

    def number(self, path: str) -> int:
        text = self.read(path)
        try:
            return int(text)
        except ValueError:
            raise BoardError(f"{path} holds {text!r}, expected a whole number") from None

    def write(self, path: str, value: object) -> None:
        try:
            self.raw_write(path, str(value))
        except OSError as error:
            raise self.fault(f"write {value} to", path, error) from None

    def raw_read(self, path: str) -> str:
        with open(self.path(path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def raw_write(self, path: str, text: str) -> None:
        handle = os.open(self.path(path), os.O_WRONLY | os.O_TRUNC)  # never makes a new file
        try:
            os.write(handle, f"{text}\n".encode())  # a whole line, as `echo` writes it
        finally:
            os.close(handle)

    def program(self, name: str) -> str | None:
        """The board's path of a program, None where there is none."""
        paths = [f"{folder}/{name}" for folder in PROGRAM_FOLDERS]
        return next((path for path in paths if self.exists(path)), None)

    def run(self, name: str, *arguments: str, answer: str = "") -> str:
        """What a program prints, both streams together; `answer` is what it reads."""
        path = self.program(name)
        if path is None:
            raise MissingError(
                f"{name} is not on this board (looked in {', '.join(PROGRAM_FOLDERS)})"
            )
        line = " ".join([path, *arguments])
        try:
            done = subprocess.run(
                [self.path(path), *arguments],
                input=answer,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=RUN_TIMEOUT_S,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise self.fault("run", path, error) from None
        except subprocess.TimeoutExpired:
            raise BoardError(f"`{line}` gave no answer within {RUN_TIMEOUT_S:g} s") from None
        if done.returncode:
            kind = DeniedError if _speaks_of_permission(done.stdout) else BoardError
            said = " ".join(done.stdout.split()) or "nothing"
            raise kind(f"`{line}` ended with code {done.returncode} and said: {said[:300]}")
        return done.stdout

    def fault(self, verb: str, path: str, error: OSError) -> BoardError:
        """One line for an operating system's error."""
        if isinstance(error, FileNotFoundError):
            return MissingError(f"cannot {verb} {path}: it is not there")
        if error.errno in (errno.EACCES, errno.EPERM):
            advice = self.join_group(path, os.W_OK if verb.startswith("write") else os.R_OK)
            return DeniedError(
                f"cannot {verb} {path}: permission denied ({self._mode(path)}; this process is "
                f"user {os.geteuid()}); "
                + (advice or "run as root, or give the file to a group with a udev rule")
            )
        if error.errno == errno.EBUSY:
            return OffError(f"cannot {verb} {path}: busy; its cores are off")
        return BoardError(f"cannot {verb} {path}: {error.strerror or error}")

    def join_group(self, path: str, right: int = os.R_OK) -> str | None:
        """What to do where a group that this user is not in has `right` on a file; else None."""
        try:
            found = os.stat(self.path(path))
        except OSError:
            return None
        has = found.st_mode & (right << 3)
        if not has or found.st_gid == 0 or found.st_gid in (os.getegid(), *os.getgroups()):
            return None
        group, user = _name(grp.getgrgid, found.st_gid), _name(pwd.getpwuid, os.geteuid())
        return (
            f"group {group} may, and this user is not in it: "
            f"`sudo usermod -aG {group} {user}`, then log in again"
        )

    def _mode(self, path: str) -> str:
        try:
            found = os.stat(self.path(path))
        except OSError:
            return "a folder on the way is closed"
        return f"mode {stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}, group {found.st_gid}"


def _name(look_up: Any, number: int) -> str:
    """The name of a user or a group, its number where it has none."""
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def _speaks_of_permission(text: str) -> bool:
    return re.search(r"permission|not permitted|root|sudo", text, re.IGNORECASE) is not None


def _by_number(path: str) -> list[object]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)]
