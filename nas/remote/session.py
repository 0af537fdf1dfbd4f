"""Measuring on a board: a plan goes there over ssh, rows come back as they are measured.

The board needs Python 3.8 and nothing else for clocks and power. `board.bench.agent` runs there and
keeps each row in a file before it sends it: it goes on while the connection is away, and the next
one brings what was measured meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from nas.remote.messages import MAX_LINE, BadRowError, Message, WireRow, read_message
from nas.remote.ssh import DroppedError, Remote, Ssh, pack, ship
from search_spaces import InputError, Row

FIRST_WAIT_S, MAX_WAIT_S = 1.0, 30.0
STOP_S = 5.0


Shipped = dict[str, object]  # a task with its `id`, without its `row`


class Task(TypedDict, total=False):
    """One program at one setting, as `board.bench.tasks` takes it."""

    runner: str  # a key of `board.bench.runners.RUNNERS`
    files: list[str]  # names in the plan's `files`
    typed_file: str  # beside the first of `files`: fp16 as TensorRT 11 wants it
    shape: list[int]  # of one image
    providers: list[str]  # of ONNX Runtime
    mode: str | None  # power mode
    clocks: dict[str, float]  # gpu_mhz, cpu_mhz, emc_mhz to set
    batch: int
    threads: int
    precision: str
    repeat: int
    row: Row


@dataclass(frozen=True)
class Plan:
    """What to measure: tasks as `board.bench.agent` takes them, files, the board's description.

    The tasks' ids are made here. A task's `row` stays on this side and is merged into the row that
    comes back.
    """

    tasks: Sequence[Task]
    files: Mapping[str, bytes] = field(default_factory=dict)  # name -> content
    board: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    clocks: str = "auto"  # pinned, or as found where they cannot be set; or `pin`, `present`
    energy: str = "auto"  # where a sensor can be read; or `required`, `none`

    @property
    def head(self) -> dict[str, object]:
        """The first line for the agent."""
        described = {"board": dict(self.board), "settings": dict(self.settings)}
        return {**described, "clocks": self.clocks, "energy": self.energy}

    def shipped(self) -> dict[str, Shipped]:
        """Tasks as the board sees them, by id: the checksum of everything that a row depends on."""
        tasks: dict[str, Shipped] = {}
        texts: list[str] = []
        for task in self.tasks:
            sent = {name: value for name, value in task.items() if name != "row"}
            sums = [hashlib.sha256(self.files[name]).hexdigest() for name in task.get("files", [])]
            text = json.dumps([sent, sums, self.head], sort_keys=True)
            same = texts.count(text)  # a plan may ask for one thing several times
            texts.append(text)
            id_ = hashlib.sha256(f"{text}{same}".encode()).hexdigest()[:16]
            tasks[id_] = {**sent, "id": id_}
        return tasks


class FailedRowsError(InputError):
    """Rows that the board could not measure: `failed` has the reasons by the tasks' ids."""

    def __init__(self, failed: Mapping[str, str], n_tasks: int) -> None:
        self.failed = dict(failed)
        reasons = "; ".join(dict.fromkeys(failed.values()))
        super().__init__(
            f"{len(failed)} of {n_tasks} rows failed on the board: {reasons}; "
            "the same command tries them again"
        )


def measure_remote(
    target: str | Remote,
    plan: Plan,
    *,
    attempts: int = 8,
    say: Callable[[Message], None] = lambda message: None,
) -> Iterator[WireRow]:
    """Rows of `plan` as they are measured, each once; with the fields of the task's `row`.

    A connection that drops is made again, `attempts` times without a new row in between, 1 to 30 s
    apart. `say` gets what else the board sends: `found`, `waiting`, `restored`, `error`.
    InputError: the board cannot be reached or used. FailedRowsError: a task failed there; all other
    rows came before it.
    """
    remote = Remote(target) if isinstance(target, str) else target
    session = _Session(remote, plan, say)
    left, wait_s = attempts, FIRST_WAIT_S
    while True:
        n_before = len(session.got)
        try:
            yield from session.rows()
            break
        except DroppedError as error:
            moved = len(session.got) > n_before
            left, wait_s = (attempts, FIRST_WAIT_S) if moved else (left - 1, 2 * wait_s)
            if not left or not session.reached:
                raise InputError(f"gave up on {remote.target}: {error}") from None
            wait_s = min(wait_s, MAX_WAIT_S)
            say({"dropped": f"{error}; next try in {wait_s:g} s"})
            time.sleep(wait_s)
    if session.failed:
        raise FailedRowsError(session.failed, len(plan.tasks))


class _Session:
    """What is known of a plan over all its connections."""

    def __init__(self, remote: Remote, plan: Plan, say: Callable[[Message], None]) -> None:
        self.remote, self.plan, self.say = remote, plan, say
        self.archive, self.tasks = pack(plan.files), plan.shipped()
        self.own = {
            id_: task.get("row", {}) for id_, task in zip(self.tasks, plan.tasks, strict=True)
        }
        self.got: set[str] = set()
        self.failed: dict[str, str] = {}
        self.reached = False

    def rows(self) -> Iterator[WireRow]:
        """Rows of one connection that no earlier one brought; DroppedError where it breaks."""
        folder = ship(self.remote, self.archive)
        self.reached = True
        with _Agent(self.remote, folder, self.plan.head, list(self.tasks.values())) as agent:
            for message in agent.messages():
                row = message.get("row")
                if row is None:
                    if "error" in message and message["id"] in self.own:
                        self.failed[message["id"]] = str(message["error"])
                    self.say(message)
                elif row["id"] in self.own and row["id"] not in self.got:
                    self.got.add(row["id"])
                    self.failed.pop(row["id"], None)
                    yield {**row, **self.own[row["id"]]}
            agent.forget()


class _Agent(Ssh):
    """The agent on the board, with its plan sent."""

    def __init__(
        self, remote: Remote, folder: str, head: dict[str, object], tasks: list[Shipped]
    ) -> None:
        super().__init__(remote, remote.agent(folder))
        lines = [{"plan": head}, *({"task": task} for task in tasks), {"end": True}]
        self.send(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def __enter__(self) -> _Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] not in (None, DroppedError):  # Ctrl-C here stops the board as well
            self.send(b'{"stop": true}\n')
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_S)  # it puts the clocks back
        super().__exit__(*exception)

    def messages(self) -> Iterator[Message]:
        """Until the agent says that it is done."""
        while True:
            line = self.line(MAX_LINE)
            try:
                message = read_message(line)
            except BadRowError as error:
                message = {"error": str(error), "id": error.id}
            except InputError as error:
                raise InputError(f"{self.remote.target} {error}") from None
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
