"""What a command that was stopped leaves: an output with which the same command goes on, or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.cli.arguments import Command, running_command
from nas.cli.search import search_folder

GOES_ON = {  # what a command that goes on writes to: the parameter, and the file of a folder
    "search": ("out", "run.json"),
    "measure": ("out", ""),
    "prune": ("out", "pruning.safetensors"),
    "supernet train": ("out", "**/training.safetensors"),  # each stage may have a folder
    "supernet evaluate": ("folder", "accuracy.safetensors"),
    "supernet calibrate": ("out", ""),
}


def kept(group: Command, words: Sequence[str]) -> str:
    """What to say, behind `stopped` or an error, of the command that `words`, behind `nas`, ran."""
    command = running_command(group, words)
    place = next((n for n, word in enumerate(words, 1) if word == command.name), 0)
    name, file = GOES_ON.get(" ".join(words[:place]), ("", ""))
    if not name:
        return ""
    given: dict[str, Any] = command.make_context(
        command.name, list(words[place:]), resilient_parsing=True
    ).params
    out = given[name] or (search_folder(given["device"]) if given.get("device") else None)
    if out is None:
        return ""
    try:
        found = any(Path(out).glob(file)) if file else Path(out).is_file()
    except OSError:  # a name that the system refuses may be what stopped the command
        return ""
    return "; what was done so far is kept" if found else ""
