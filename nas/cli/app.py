"""The entry point: commands by name, a user's mistakes as one line."""

from __future__ import annotations

import errno
import functools
import io
import sys
import warnings
from typing import Annotated, TextIO

import typer
from typer.core import TyperGroup

from nas.cli.arguments import running_command, with_options
from nas.cli.devices import devices
from nas.cli.export import export
from nas.cli.govern import govern
from nas.cli.help import Command, Group
from nas.cli.measure import measure
from nas.cli.predictor import predictor
from nas.cli.prune import prune
from nas.cli.report import report
from nas.cli.search import search
from nas.cli.signals import heard_signals
from nas.cli.slow import SlowCommand
from nas.cli.spaces import spaces
from nas.cli.stopped import kept
from nas.cli.supernet import supernet
from nas.version import __version__
from search_spaces import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
INTERRUPTED = 130  # the exit code of Ctrl-C
MAIN = "From a device to its table, and to the board"
BESIDE = "What that way uses"

app = typer.Typer(
    name="nas",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"nas {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """From one set of weights to a table of what to run at every clock of a device."""


for kind, command in (
    *((Command, command) for command in (search, report)),
    *((SlowCommand, command) for command in (measure, export, govern, prune)),
):
    app.command(cls=kind, rich_help_panel=MAIN)(command)
app.command(cls=Command, rich_help_panel=BESIDE)(devices)
app.command(cls=Command, rich_help_panel=BESIDE)(spaces)
app.add_typer(supernet, name="supernet", rich_help_panel=BESIDE)
app.add_typer(predictor, name="predictor", rich_help_panel=BESIDE)


@functools.cache
def built() -> TyperGroup:
    """The commands with their options, read from the functions' signatures once."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def main() -> None:
    """Run the command line; exit code 1 for the user's input, 130 for Ctrl-C, 143 for SIGTERM."""
    write_what_it_can(sys.stdout)
    with heard_signals() as heard:
        try:
            _run()
        except SystemExit as done:
            if heard and done.code == INTERRUPTED:
                sys.exit(128 + heard[0])
            raise


def write_what_it_can(stream: TextIO) -> None:
    """Let a terminal that is not UTF-8 show `?` for what it lacks, rather than end the command."""
    if not isinstance(stream, io.TextIOWrapper):
        return
    # the locale C writes file names back as they were, and fails at everything else
    ascii_alone = stream.errors == "surrogateescape" and stream.encoding.lower() != "utf-8"
    if stream.errors == "strict" or ascii_alone:
        stream.reconfigure(errors="replace")


def _run() -> None:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            built()(prog_name="nas")
    except InputError as error:
        told = with_options(str(error), running_command(built(), sys.argv[1:]))
        print(f"error: {told}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as done:
        if done.code == INTERRUPTED:  # typer took the KeyboardInterrupt and said nothing
            _say_stopped()
        raise
    except (KeyboardInterrupt, Exception) as error:
        if _interrupted(error):
            _say_stopped()
            sys.exit(INTERRUPTED)
        if not isinstance(error, OSError) or not (error.errno in FULL or error.filename):
            raise
        what = "write" if error.errno in FULL else f"use {error.filename}"
        print(f"error: cannot {what}: {error.strerror}{_kept()}", file=sys.stderr)
        sys.exit(1)


def _say_stopped() -> None:
    print(f"stopped{_kept()}", file=sys.stderr)


def _kept() -> str:
    return kept(built(), sys.argv[1:])


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line of ours, without the place in the code."""
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C began what ended in `error`: a library's clean-up can fail on the way out."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


if __name__ == "__main__":
    main()
