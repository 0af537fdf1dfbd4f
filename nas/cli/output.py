"""What commands share on the screen."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nas.files import without_password


def console(*, quiet: bool = False) -> Console:
    """Where progress and remarks go: stderr, so that stdout stays for results."""
    return Console(stderr=True, quiet=quiet, highlight=False)


def progress(on: Console) -> Progress:
    """A bar with done, all and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=on,
        disable=on.quiet,
    )


def command_text(parts: Sequence[str], width: int) -> str:
    """A command to copy: where it is too long, lines that end between `parts`, in a backslash."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 <= width:  # a space before it, room for a backslash
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n".join(lines)


def print_json(values: Mapping[str, Any] | list[Any]) -> None:
    """Machine-readable output on stdout."""
    print(json.dumps(values, indent=1))


def command_line() -> str:
    """The command as the user typed it, for files that say how they were made."""
    return without_password(shlex.join(["nas", *sys.argv[1:]]))
