"""Help as plain text in named groups: nothing is cut at any width, a command stays on its line."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

OTHERS = "Options"
EXAMPLE = re.compile(r"(?:Example|On the board): `(nas .+?)`\.?")
KINDS = {"list[str]": "TEXT", "str": "TEXT", "int": "N", "float": "X", "path": "PATH"}


class Command(TyperCommand):
    """A command whose options stand under the titles of their `rich_help_panel`."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | {"rich_markup_mode": None})

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
            names = re.sub(r"<(.+?)>", lambda kind: KINDS.get(kind[1], kind[1]), record[0])
            names = names.replace(" bool", "")
            panels.setdefault(panel or OTHERS, []).append((names, record[1]))
    write_sections({k: v for k, v in panels.items() if k != OTHERS}, formatter)
    write_sections({OTHERS: panels.get(OTHERS, [])}, formatter)


def write_sections(panels: dict[str, list[tuple[str, str]]], formatter: Any) -> None:
    """Each title with its definitions, names in one column."""
    for title, records in panels.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def write_text(text: str, formatter: Any) -> None:
    """Paragraphs wrapped, but for the command of an example, which is to be copied."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        formatter.write_paragraph()
        for part in EXAMPLE.split(" ".join(paragraph.split())):
            if part.startswith("nas "):
                formatter.write(f"  Example: {part}\n")
            elif part.strip():
                with formatter.indentation():
                    formatter.write_text(part.strip())
