"""A command that loads libraries for seconds says so first, to whoever looks at a terminal."""

from __future__ import annotations

import sys
from typing import Any

from nas.cli.help import Command


def to_terminal() -> bool:
    """Whether a person sees what goes to stderr."""
    return sys.stderr.isatty()


class SlowCommand(Command):
    """Says what runs before it is imported; files and pipes get what the command itself writes."""

    def invoke(self, ctx: Any) -> Any:
        if to_terminal() and not ctx.params.get("quiet"):
            print(f"{ctx.command_path}: loading libraries", file=sys.stderr, flush=True)
        return super().invoke(ctx)
