"""Help: whole at any width, options under titles, examples as they are typed."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest
from typer.core import TyperGroup

from nas.cli.app import built


def commands(group: TyperGroup, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, those of groups included."""
    for name, command in group.commands.items():
        yield (*before, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, *before, name)


GROUP = built()


def help_of(words: tuple[str, ...], width: int) -> str:
    told = io.StringIO()
    with redirect_stdout(told):
        code = GROUP.main(
            [*words, "--help"], prog_name="nas", terminal_width=width, standalone_mode=False
        )
    assert code == 0
    return told.getvalue()


@pytest.mark.parametrize("words", [(), *commands(GROUP)], ids=" ".join)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_cut(words: tuple[str, ...], width: int) -> None:
    told = help_of(words, width)
    assert not re.search(r"…|list\[|[{}<]", told)
    command = GROUP
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    for parameter in command.params:
        shown = parameter.param_type_name == "option" and not getattr(parameter, "hidden", False)
        for name in parameter.opts if shown else ():
            assert name in told.split() or f"{name}," in told.split()
    for line in told.splitlines():
        assert len(line) <= width or (width < 80 and ": nas " in line)


def test_options_of_a_search_stand_under_titles() -> None:
    told = help_of(("search",), 80)
    titles = [line for line in told.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles[:3] == ["Target:", "What is searched:", "Costs of the target:"]
    assert told.index("Limits:") < told.index("--max-latency-ms") < told.index("Study and output:")


def test_arguments_and_examples_are_as_they_are_typed() -> None:
    assert help_of(("prune",), 80).startswith("Usage: nas prune [OPTIONS] NET\n")
    assert help_of(("devices",), 80).startswith("Usage: nas devices [OPTIONS] [DEVICE]\n")
    assert "\n  Two models: nas govern --manifest A --manifest B" in help_of(("govern",), 80)


@pytest.mark.parametrize("width", [80, 120])
def test_a_long_example_can_be_pasted(width: int) -> None:
    told = help_of(("measure",), width)
    pasted = re.findall(r"Example: nas (.*)", told.replace("\\\n", ""))
    assert [" ".join(shlex.split(command)) for command in pasted] == [
        "measure --device host --space resnet-cifar --repeat 2 --out rows.csv",
        "measure --of runs/nx/pareto.json --remote me@board --points 5 --out rows.csv",
    ]
    assert ("\\\n" in told) == (width == 80)


def test_the_main_way_comes_first() -> None:
    told = help_of((), 80)
    names = ("search", "report", "measure", "export", "govern", "devices")
    at = [told.index(f"\n  {name} ") for name in names]
    assert at == sorted(at)
