"""Measuring on a board over the system's ssh: ships what is needed, brings rows as they come.

The board needs Python 3.8 and nothing else for clocks and power. What is shipped is one tar in a
folder named by its checksum, so it travels once. `board.agent` runs there and keeps each row in a
file before it sends it: after a dropped connection the next one brings what was measured meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from search_spaces import InputError

BOARD = Path(__file__).parent / "board"
FOLDER = ".cache/nas-board"  # below the user's home on the board
FIRST_WAIT_S, MAX_WAIT_S = 1.0, 30.0
ROWS = "rows.jsonl"
# Runs on any Python, so that an old one is named as such; reads the tar only where it is not there.
UNPACK = """
import hashlib, io, os, shutil, sys, tarfile, tempfile
folder, checksum, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
if sys.version_info < (3, 8):
    sys.exit("nas: the board has Python %d.%d, it needs 3.8" % sys.version_info[:2])
target = os.path.join(os.path.expanduser(folder), checksum)
there = os.path.isdir(target)
print("there" if there else "send")
sys.stdout.flush()
if not there:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    aside = tempfile.mkdtemp(dir=os.path.dirname(target))
    data = sys.stdin.buffer.read(size)
    if hashlib.sha256(data).hexdigest() != checksum:
        sys.exit("nas: the files arrived damaged")
    tar = tarfile.open(fileobj=io.BytesIO(data))
    for member in tar:
        path = os.path.join(aside, member.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            shutil.copyfileobj(tar.extractfile(member), file)
    os.chmod(aside, 0o755)
    os.rename(aside, target)
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
class Plan:
    """What to measure: tasks as `board.agent` takes them, their files, the board's description.

    `tasks`: dicts with `runner`, `files`, `clocks` {gpu_mhz, cpu_mhz, emc_mhz}, `mode`; their `id`
    is made here. A task's `row` stays on this side and is merged into the row that comes back.
    """

    tasks: Sequence[Mapping[str, Any]]
    files: Mapping[str, bytes] = field(default_factory=dict)  # name -> content
    board: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    clocks: str = "auto"  # pin, or as found where this user may not; or `pin`, `present`
    energy: str = "auto"  # where a sensor can be read; or `required`, `none`

    @property
    def head(self) -> dict[str, Any]:
        """The first line for the agent."""
        described = {"board": dict(self.board), "settings": dict(self.settings)}
        return {**described, "clocks": self.clocks, "energy": self.energy}

    def shipped(self) -> dict[str, dict[str, Any]]:
        """Tasks as the board sees them, by id: the checksum of everything that a row depends on."""
        tasks = {}
        for task in self.tasks:
            sent = {name: value for name, value in task.items() if name != "row"}
            sums = [hashlib.sha256(self.files[name]).hexdigest() for name in task.get("files", [])]
            text = json.dumps([sent, sums, self.head], sort_keys=True)
            id_ = hashlib.sha256(text.encode()).hexdigest()[:16]
            tasks[id_] = {**sent, "id": id_}
        return tasks


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
        if not self.target or self.target.startswith("-"):
            raise InputError(f"the board must be USER@HOST, got {self.target!r}")
        if shutil.which("ssh") is None:
            raise InputError("ssh is not installed here; it is needed to reach the board")

    def command(self, *arguments: str) -> list[str]:
        """The local command line that runs `arguments` on the board, each quoted for its shell."""
        fixed = ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        fixed += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
        return ["ssh", *self.options, *fixed, "--", self.target, shlex.join(arguments)]

    def agent(self, target: str) -> list[str]:
        """The command line of the agent whose files are in `target` on the board."""
        run = ["env", f"PYTHONPATH={target}", "PYTHONDONTWRITEBYTECODE=1", self.python, "-u", "-m"]
        run += ["board.agent", "--rows", f"{target}/{ROWS}", "--folder", f"{target}/files"]
        return self.command(*(["sudo", "-n"] * self.sudo), *run)


class DroppedError(Exception):
    """The connection ended before the work did."""


def measure_remote(
    target: str | Remote,
    plan: Plan,
    *,
    attempts: int = 8,
    say: Callable[[dict[str, Any]], None] = lambda message: None,
) -> Iterator[dict[str, Any]]:
    """Rows of `plan` as they are measured, each once; with the fields of the task's `row`.

    A connection that drops is made again, `attempts` times without a new row in between, 1 to 30 s
    apart. `say` gets what else the board sends: `found`, `waiting`, `restored`, `error`.
    InputError: the board cannot be reached or used, or a task failed there; all other rows
    came before it.
    """
    remote = Remote(target) if isinstance(target, str) else target
    archive, tasks = pack(plan.files), plan.shipped()
    own = {id_: task.get("row", {}) for id_, task in zip(tasks, plan.tasks, strict=True)}
    got: set[str] = set()
    failed: dict[str, str] = {}
    left, wait_s, reached = attempts, FIRST_WAIT_S, False
    while True:
        n_before = len(got)
        try:
            folder = ship(remote, archive)
            reached = True
            with _Agent(remote, folder, plan.head, list(tasks.values())) as agent:
                for message in agent.messages():
                    if "row" in message and message["row"]["id"] not in got:
                        got.add(message["row"]["id"])
                        failed.pop(message["row"]["id"], None)
                        yield {**message["row"], **own[message["row"]["id"]]}
                    elif "error" in message:
                        failed[message["id"]] = message["error"]
                        say(message)
                    elif "row" not in message:
                        say(message)
                agent.forget()
            break
        except DroppedError as error:
            left = left - 1 if len(got) == n_before else attempts
            wait_s = min(2 * wait_s, MAX_WAIT_S) if len(got) == n_before else FIRST_WAIT_S
            if not left or not reached:
                raise InputError(f"{remote.target} cannot be reached: {error}") from None
            say({"dropped": f"{error}; next try in {wait_s:g} s"})
            time.sleep(wait_s)
    if failed:
        first = next(iter(failed.values()))
        raise InputError(f"{len(failed)} of {len(tasks)} rows failed on {remote.target}: {first}")


def discover_remote(target: str | Remote, board: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `board.discover` finds on a board."""
    remote = Remote(target) if isinstance(target, str) else target
    found: list[dict[str, Any]] = []
    plan = Plan([], board=board or {}, energy="none")
    for _ in measure_remote(remote, plan, attempts=1, say=found.append):
        pass
    return next(message["found"] for message in found if "found" in message)


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of the agent and `files`; the same content gives the same bytes."""
    content = {f"board/{path.name}": path.read_bytes() for path in sorted(BOARD.glob("*.py"))}
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
    with _Process(remote, remote.command(*unpack)) as ssh:
        if ssh.line() == b"send\n":
            ssh.send(archive)
        folder = ssh.line().decode().rstrip("\n")
        ssh.end()
    return folder


class _Process:
    """An ssh that runs; its stderr is kept for the error."""

    def __init__(self, remote: Remote, command: list[str]) -> None:
        self.remote = remote
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._said)

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *exception: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                _open(stream).close()
        self._process.terminate()
        self._process.wait()
        self._said.close()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the next line says why
            _open(self._process.stdin).write(data)
            _open(self._process.stdin).flush()

    def line(self) -> bytes:
        """The next whole line; DroppedError or InputError where none comes."""
        line = _open(self._process.stdout).readline()
        if not line.endswith(b"\n"):
            self.end()
            raise DroppedError("the connection ended")
        return line

    def end(self) -> None:
        """Wait for ssh; its exit code 255 is ssh's own, any other the board's."""
        with contextlib.suppress(BrokenPipeError):
            _open(self._process.stdin).close()
        code = self._process.wait()
        if code == 0:
            return
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else f"ssh ended with code {code}"
        for words, advice in FATAL.items():
            if words in said and code == 255:
                hint = advice.format(target=self.remote.target)
                raise InputError(f"{self.remote.target}: {words}; {hint}")
        if code == 255:
            raise DroppedError(last)
        raise InputError(f"{self.remote.target}: {last}")


class _Agent(_Process):
    """The agent on the board, with its plan sent."""

    def __init__(
        self, remote: Remote, folder: str, head: dict[str, Any], tasks: list[dict[str, Any]]
    ) -> None:
        super().__init__(remote, remote.agent(folder))
        lines = [{"plan": head}, *({"task": task} for task in tasks), {"end": True}]
        self.send(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def __enter__(self) -> _Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] not in (None, DroppedError):  # Ctrl-C here stops the board as well
            self.send(b'{"stop": true}\n')
            time.sleep(0.2)
        super().__exit__(*exception)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Until the agent says that it is done."""
        while True:
            line = self.line()
            try:
                message = json.loads(line)
            except ValueError:
                raise InputError(
                    f"{self.remote.target} printed {line[:80]!r} in between; its login shell must "
                    "be silent when it is not used by hand"
                ) from None
            if "fatal" in message:
                raise InputError(f"{self.remote.target}: {message['fatal']}")
            if "stopped" in message:
                raise InputError(f"{self.remote.target}: stopped there by {message['stopped']}")
            if "done" in message:
                return
            yield message

    def forget(self) -> None:
        """Every row is here: the board may drop its copy."""
        self.send(b'{"forget": true}\n')
        with contextlib.suppress(DroppedError):
            self.end()


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
