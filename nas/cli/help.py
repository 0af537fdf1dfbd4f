"""Help as plain text in named groups: nothing is cut at any width, commands can be pasted."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

OTHERS = "Options"
EXAMPLE = re.compile(r"((?:Example|On the board|Two models): `nas .+?`)\.?")
KINDS = {"str": "TEXT", "int": "N", "int range": "N", "float": "X", "path": "PATH"}


class Command(TyperCommand):
    """A command whose options stand under the titles of their `rich_help_panel`."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | {"rich_markup_mode": None})

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] NET`, `[OPTIONS] [DEVICE]`."""
        asked = [p for p in self.get_params(ctx) if isinstance(p, TyperArgument)]
        names = [(argument_name(p), p.required) for p in asked]
        return ["[OPTIONS]", *(name if needed else f"[{name}]" for name, needed in names)]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """What the command does; an example line is never wrapped."""
        write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)


class Group(TyperGroup):
    """A group whose commands stand under the titles of their `rich_help_panel`, in their order."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | {"rich_markup_mode": None})

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            said = (command.help or "").split("\n\n")[0].split("Example:")[0].split()
            panel = getattr(command, "rich_help_panel", None)
            title = panel if isinstance(panel, str) else "Commands"
            panels.setdefault(title, []).append((name, " ".join(said)))
        write_sections(panels, formatter)
        write_options(self, ctx, formatter)


def write_options(command: Any, ctx: Any, formatter: Any) -> None:
    """Options and arguments under their titles; those without one come last."""
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record:
            panel = getattr(parameter, "rich_help_panel", None)
            names = re.sub(r"<(.+?)>", _kind, record[0]).replace(" bool", "")
            if isinstance(parameter, TyperArgument):
                names = argument_name(parameter)
            panels.setdefault(panel or OTHERS, []).append((names, record[1]))
    write_sections({k: v for k, v in panels.items() if k != OTHERS}, formatter)
    write_sections({OTHERS: panels.get(OTHERS, [])}, formatter)


def _kind(found: re.Match[str]) -> str:
    """What stands for a value: `N` for `<int>` and `<list[int]>`."""
    inner = re.sub(r"^list\[(.+)\]$", r"\1", found[1]).lower()
    return KINDS.get(inner, found[1])


def argument_name(argument: TyperArgument) -> str:
    """As usage, help and messages call an argument that has no dashes: `FOLDER`."""
    return argument.metavar or str(argument.name).upper()


def write_sections(panels: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    """Each title with its definitions, names in one column."""
    for title, records in panels.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def write_text(text: str, formatter: Any) -> None:
    """Paragraphs wrapped; the command of an example can be copied."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        formatter.write_paragraph()
        for part in EXAMPLE.split(" ".join(paragraph.split())):
            if EXAMPLE.fullmatch(part):
                formatter.write(_broken(part.replace("`", ""), formatter.width))
            elif part.strip():
                with formatter.indentation():
                    formatter.write_text(part.strip())


def _broken(example: str, width: int) -> str:
    """A command; where it is too long, lines that end before an option, in a backslash."""
    first, *options = re.split(r" (?=--)", example)
    lines = [f"  {first}"]
    for option in options:
        if len(lines[-1]) + len(option) + 3 <= width:  # a space before it, room for a backslash
            lines[-1] += f" {option}"
        else:
            lines.append(f"      {option}")
    return " \\\n".join(lines) + "\n"
