"""What commands share on the screen."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nas.files import same_file, without_password

LINE_S = 60.0  # between lines on the progress of work that nobody watches


def console(*, quiet: bool = False) -> Console:
    """Where progress and remarks go: stderr, so that stdout stays for results."""
    return Console(stderr=True, quiet=quiet, highlight=False)


class Bar(Progress):
    """Drawn from the first step on: an empty bar leaves a line in files.

    Where nobody watches (a log of `nohup`, of a batch system) a line says every `LINE_S` seconds
    how far the work is.
    """

    said_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        end(self)

    def update(self, task_id: TaskID, **fields: Any) -> None:
        self.start()
        super().update(task_id, **fields)
        if not (self.disable or self.console.is_terminal or self.console.is_jupyter):
            self._say(next(task for task in self.tasks if task.id == task_id))

    def _say(self, task: Task) -> None:
        now = monotonic()
        self.said_at = now if self.said_at is None else self.said_at
        if now - self.said_at < LINE_S:
            return
        self.said_at = now
        words = [f"{task.description} {task.completed:.0f}"]
        if task.total is not None:
            words[0] += f" of {task.total:.0f}"
        if task.time_remaining is not None:
            words.append(f"{timedelta(seconds=task.time_remaining)} left")
        if task.fields["note"]:
            words.append(task.fields["note"])
        self.console.print(", ".join(words), markup=False, soft_wrap=True)


def progress(on: Console) -> Bar:
    """A bar with done, all and time left."""
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=on,
        disable=on.quiet,
    )


def end(bar: Progress) -> None:
    """Stop a bar that was drawn; stopping another one leaves an empty line in files."""
    if bar.live.is_started:
        bar.stop()


class Steps:
    """Draws work of several kinds: a bar with time left for each, `steps(what, done, total)`."""

    def __init__(self, on: Console) -> None:
        self._bar, self._tasks = progress(on), dict[str, TaskID]()

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *raised: object) -> None:
        end(self._bar)

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, note="")
        self._bar.update(self._tasks[what], completed=done, total=total)


def waiting(on: Console, what: str) -> Progress:
    """For work whose end is not known: what it is, and for how long it has run; then it is gone."""
    shown = Progress(
        *(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()),
        console=on,
        disable=on.quiet or not on.is_terminal,
        transient=True,
    )
    shown.add_task(what, total=None)
    return shown


def command_text(parts: Sequence[str], width: int) -> str:
    """A command to copy: where it is too long, lines that end between `parts`, in a backslash."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 <= width:  # a space before it, room for a backslash
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n".join(lines)


def print_next(log: Console, *words: object) -> None:
    """The command that a user most likely types next, ready to be copied."""
    log.print(f"next: nas {shlex.join(map(str, words))}", soft_wrap=True, markup=False)


def search_out(folder: Path | str) -> Path:
    """The folder to propose for a search of the supernet in `folder`, which is another."""
    out = Path("runs", Path(folder).name)
    return out.with_name(f"{out.name}-search") if same_file(out, folder) else out


def print_json(values: Mapping[str, Any] | list[Any]) -> None:
    """Machine-readable output on stdout."""
    print(json.dumps(values, indent=1))


def command_line() -> str:
    """The command as the user typed it, for files that say how they were made."""
    return without_password(shlex.join(["nas", *sys.argv[1:]]))
