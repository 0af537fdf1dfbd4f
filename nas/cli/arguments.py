"""Names of arguments in a message, shown as the options that a user of the command line types.

The library says `` `repeats` must be at least 1, got 0 ``, as a Python caller needs it. On the
command line the same line reads `--repeat must be at least 1, got 0`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

from nas.cli.help import argument_name

Command = TyperCommand | TyperGroup
OTHER_NAMES = {  # of an argument: what its option is called, where neither rule below finds it
    "n_target_rows": "samples",
    "n_programs": "samples",
    "others": "device",
    "repeats": "repeat",
    "half": "fp16",
    "ids": "id_",
}
ARGUMENT = re.compile(r"`([a-z_][a-z0-9_]*)(?:=True)?`")


def running_command(group: Command, words: Sequence[str]) -> Command:
    """The command that `words`, those behind `nas`, run; `group` itself where they name none."""
    for word in words:
        if not isinstance(group, TyperGroup) or word not in group.commands:
            return group
        found = group.commands[word]
        assert isinstance(found, Command)  # typer makes them all
        group = found
    return group


def with_options(message: str, command: Command) -> str:
    """`message` with every argument in backticks as the option or argument of `command`.

    An argument is looked up by its own name, then as `device` is `--for-device`, then without `n_`
    in front, as `n_trials` is `--trials`. Names that `command` does not take, such as those of
    columns, stay as they are.
    """
    shown = {parameter.name: _shown(parameter) for parameter in command.params}

    def option(found: re.Match[str]) -> str:
        name = found[1]
        other = OTHER_NAMES.get(name, "")
        names = (name, f"{name}_", f"for_{name}", name.removeprefix("n_"), other)
        return next((shown[n] for n in names if n in shown), found[0])

    return ARGUMENT.sub(option, message)


def _shown(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        return argument_name(parameter)
    longest: str = max(parameter.opts, key=len)
    return longest
