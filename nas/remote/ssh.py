"""The system's ssh as a way to a board: one tar there, one program started, lines back.

What is shipped lies in a folder named by its checksum, so that a second connection finds it there.
Every argument is quoted for the board's shell; host keys are checked as the user's ssh is set to.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from search_spaces import InputError

BOARD = Path(__file__).parents[1] / "board"
FOLDER = ".cache/nas-board"  # below the user's home on the board
ROWS = "rows.jsonl"
MAX_LINE = 1 << 16  # bytes of an answer to the shipping
# Runs on any Python, so that an old one is named as such; reads the tar only where it is not there.
UNPACK = """
import hashlib, io, os, shutil, sys, tarfile, tempfile
folder, checksum, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
if sys.version_info < (3, 8):
    sys.exit("nas: the board has Python %d.%d, it needs 3.8" % sys.version_info[:2])
target = os.path.abspath(os.path.join(os.path.expanduser(folder), checksum))
there = os.path.isdir(target)
print("there" if there else "send")
sys.stdout.flush()
if not there:
    data = sys.stdin.buffer.read(size)
    if hashlib.sha256(data).hexdigest() != checksum:
        sys.exit("nas: the files arrived damaged")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    aside = tempfile.mkdtemp(dir=os.path.dirname(target))
    tar = tarfile.open(fileobj=io.BytesIO(data))
    for member in tar:
        path = os.path.join(aside, member.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            shutil.copyfileobj(tar.extractfile(member), file)
    os.chmod(aside, 0o755)
    try:
        os.rename(aside, target)
    except OSError:
        if not os.path.isdir(target):  # where it is one, another shipping was faster
            raise
        shutil.rmtree(aside)
print(target)
"""
FATAL = {  # what ssh says where another try is of no use, and what to do
    "Host key verification failed": "the board's host key is unknown or has changed: connect once "
    "by hand with `ssh {target}` and check the key, or mend ~/.ssh/known_hosts",
    "Permission denied": "no key was accepted: `ssh {target}` must work without a password",
    "Could not resolve hostname": "the host's name is unknown",
    "Bad configuration option": "mend the ssh options",
    "Bad owner or permissions": "mend the permissions of ~/.ssh/config",
}


@dataclass(frozen=True)
class Remote:
    """A board that `ssh target` reaches with a key.

    `options` are ssh's own (`["-p", "2222"]`); host keys are checked as the user's ssh is set to.
    `sudo` runs the agent as root through `sudo -n`, which clocks and some sensors need.
    """

    target: str
    python: str = "python3"
    folder: str = FOLDER
    options: Sequence[str] = ()
    sudo: bool = False

    def __post_init__(self) -> None:
        if not self.target.isprintable() or self.target[:1] in ("", "-", " "):
            raise InputError(f"the board must be USER@HOST, got {self.target!r}")

    def command(self, *arguments: str) -> list[str]:
        """The local command line that runs `arguments` on the board, each quoted for its shell."""
        fixed = ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        fixed += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
        return ["ssh", *self.options, *fixed, "--", self.target, shlex.join(arguments)]

    def agent(self, target: str) -> list[str]:
        """The command line of the agent whose files are in `target` on the board."""
        run = ["env", f"PYTHONPATH={target}", "PYTHONDONTWRITEBYTECODE=1", self.python, "-u", "-m"]
        run += ["board.bench.agent", "--rows", f"{target}/{ROWS}", "--folder", f"{target}/files"]
        run += ["--remove", target]
        return self.command(*(["sudo", "-n"] * self.sudo), *run)


class DroppedError(Exception):
    """The connection ended before the work did."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of the agent and `files`; the same content gives the same bytes."""
    sources = sorted(BOARD.rglob("*.py"))
    content = {path.relative_to(BOARD.parent).as_posix(): path.read_bytes() for path in sources}
    for name, data in sorted(files.items()):
        if Path(name).name != name or name in (".", ".."):
            raise InputError(f"a shipped file needs a plain name, got {name!r}")
        content[f"files/{name}"] = data
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def ship(remote: Remote, archive: bytes) -> str:
    """Send the archive unless the board has it; returns its folder there."""
    checksum = hashlib.sha256(archive).hexdigest()
    unpack = (remote.python, "-c", UNPACK, remote.folder, checksum, str(len(archive)))
    with Ssh(remote, remote.command(*unpack)) as ssh:
        if ssh.line() == b"send\n":
            ssh.send(archive)
        folder = ssh.line().decode().rstrip("\n")
        ssh.end()
    return folder


class Ssh:
    """An ssh that runs; its stderr is kept for the error."""

    def __init__(self, remote: Remote, command: list[str]) -> None:
        if shutil.which("ssh") is None:
            raise InputError("ssh is not installed here; it is needed to reach a board")
        self.remote = remote
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(  # a session of its own: Ctrl-C here reaches us first
            command, stdin=pipe, stdout=pipe, stderr=self._said, start_new_session=True
        )

    def __enter__(self) -> Ssh:
        return self

    def __exit__(self, *exception: object) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                _open(stream).close()
        self.process.terminate()
        self.process.wait()
        self._said.close()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):  # the next line says why
            _open(self.process.stdin).write(data)
            _open(self.process.stdin).flush()

    def line(self, limit: int = MAX_LINE) -> bytes:
        """The next whole line; DroppedError or InputError where none comes, or one over `limit`."""
        line = _open(self.process.stdout).readline(limit)
        if len(line) == limit and not line.endswith(b"\n"):
            raise InputError(f"{self.remote.target} printed a line of over {limit} bytes")
        if not line.endswith(b"\n"):
            self.end()
            raise DroppedError("the connection ended")
        return line

    def end(self) -> None:
        """Wait for ssh; its exit code 255 is ssh's own, others above 128 are a killed process's."""
        with contextlib.suppress(BrokenPipeError):
            _open(self.process.stdin).close()
        code = self.process.wait()
        if code == 0:
            return
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else f"ssh ended with code {code}"
        for words, advice in FATAL.items():
            if words in said and code == 255:
                hint = advice.format(target=self.remote.target)
                raise InputError(f"{self.remote.target}: {words}; {hint}")
        if code > 128:
            killed = f"the process on the board was killed (code {code})"
            raise DroppedError(last if code == 255 else killed)
        raise InputError(f"{self.remote.target}: {last}")


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
