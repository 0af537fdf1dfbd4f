"""Messages of the library name arguments; the command line shows them as its own options."""

from __future__ import annotations

import pytest
from typer.core import TyperGroup

from nas.cli.app import built
from nas.cli.arguments import OTHER_NAMES, Command, running_command, with_options
from search_spaces import InputError
from tests.nas.conftest import nas, refused

GROUP = built()


def test_the_running_command_is_found_by_its_words() -> None:
    assert running_command(GROUP, ["search", "--device", "nano"]).name == "search"
    assert running_command(GROUP, ["supernet", "train", "--out", "x"]).name == "train"
    assert running_command(GROUP, ["--help"]) is GROUP
    assert running_command(GROUP, ["supernet"]).name == "supernet"


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        ("search", "`seed` must be 0 or more, got -1", "--seed must be 0 or more, got -1"),
        ("search", "`n_trials` must be at least 1", "--trials must be at least 1"),
        ("search", "`accuracy_table` is missing", "--accuracy-table is missing"),
        ("search", "give `resume=True` or `overwrite=True`", "give --resume or --overwrite"),
        ("search", "`n_target_rows` must be", "--samples must be"),
        ("export", "`id` names no point", "--id names no point"),
        ("supernet evaluate", "`folder` holds nothing", "FOLDER holds nothing"),
        ("supernet train", "`device` may be a file", "--for-device may be a file"),
        ("devices", "`device` may be a file", "DEVICE may be a file"),
        ("search", "column `notes` of the rows", "column `notes` of the rows"),
        ("search", "`nas export --out DIR` writes one", "`nas export --out DIR` writes one"),
        ("report", "`seed` is no option here", "`seed` is no option here"),
    ],
)
def test_arguments_become_options(words: str, message: str, expected: str) -> None:
    assert with_options(message, running_command(GROUP, words.split())) == expected


def commands(group: Command) -> list[Command]:
    if not isinstance(group, TyperGroup):
        return [group]
    inner = [command for command in group.commands.values() if isinstance(command, Command)]
    return [leaf for command in inner for leaf in commands(command)]


def test_names_in_the_table_are_options() -> None:
    options = {parameter.name for command in commands(GROUP) for parameter in command.params}
    assert set(OTHER_NAMES.values()) <= options
    assert not set(OTHER_NAMES) & options


def test_an_error_is_told_with_the_options_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("`n_points` must be at least 5, got 0; see `nas search --help`")

    monkeypatch.setattr("nas.search.search_devices", refuse)
    line = "--points must be at least 5, got 0; see `nas search --help`"
    refused(nas("search", "--device", "nano", "--quiet"), line)
