"""What is drawn while a command works: something at once, and how far it is."""

from __future__ import annotations

import io
import re
import sys

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from nas.cli.output import Steps, progress, waiting
from nas.cli.search_screen import SearchScreen
from nas.cli.slow import SlowCommand
from nas.search.front.outcomes import Generation


def screen(*, terminal: bool) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=80, force_interactive=terminal
    )


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_each_kind_of_work_has_a_bar_with_what_is_done(terminal: bool) -> None:
    console = screen(terminal=terminal)
    with Steps(console) as step:
        for done in range(1, 4):
            step("batch norm", done, 3)
        step("check", 1, 7)
    assert "batch norm" in shown(console)
    assert "3/3" in shown(console)
    assert "1/7" in shown(console)


@pytest.mark.parametrize("terminal", [True, False])
def test_work_without_a_step_draws_nothing(terminal: bool) -> None:
    console = screen(terminal=terminal)
    with Steps(console):
        pass
    assert shown(console) == ""


def test_what_has_no_known_end_shows_how_long_it_runs_and_goes() -> None:
    console = screen(terminal=True)
    with waiting(console, "loading libraries"):
        pass
    assert "loading libraries" in shown(console)
    assert "0:00:00" in shown(console)
    assert shown(console).endswith("\x1b[2K")  # the line is empty again


def test_a_slow_command_speaks_before_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command(cls=SlowCommand)
    def work(quiet: bool = False) -> None:
        print("worked", file=sys.stderr)

    @app.command()
    def other() -> None:
        """Two commands, so that each has a name."""

    def said(*words: str, terminal: bool) -> str:
        monkeypatch.setattr("nas.cli.slow.to_terminal", lambda: terminal)
        return CliRunner().invoke(app, ["work", *words], prog_name="nas").output

    assert said(terminal=True) == "nas work: loading libraries\nworked\n"
    assert said(terminal=False) == said("--quiet", terminal=True) == "worked\n"


def test_what_a_search_found_is_shown_as_it_is() -> None:
    """A folder's name may look like markup."""
    console = screen(terminal=False)
    with SearchScreen(console) as shows:
        shows.stage("optimiser: runs/[b]/[/old]/optimiser.json")
    assert "runs/[b]/[/old]/optimiser.json" in shown(console)


def test_a_search_that_ends_before_its_last_trial_has_a_full_bar() -> None:
    console = screen(terminal=True)
    with SearchScreen(console) as shows:
        shows.ask(1000)
        shows.generation(Generation(4, 3, 9, 0.5))
        shows.stage("result")
    assert "4/4" in shown(console)


def test_a_log_gets_a_line_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("nas.cli.output.monotonic", lambda: now)
    file = io.StringIO()
    with progress(Console(file=file, width=40)) as bar:
        task = bar.add_task("train", total=None, note="")
        for step in range(1, 181):
            now += 1.0
            bar.update(task, total=200, completed=step, note=f"epoch {step // 50 + 1}, loss [0.5]")
        lines = file.getvalue().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"train 61 of 200, (\d:\d\d:\d\d left, )?epoch 2, loss \[0\.5\]", lines[0])
    assert lines[1].startswith("train 121 of 200")


def test_a_terminal_gets_the_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.cli.output.LINE_S", 0.0)
    file = io.StringIO()
    with progress(Console(file=file, force_terminal=True)) as bar:
        bar.update(bar.add_task("train", total=9, note=""), completed=5)
    assert "5 of 9" not in file.getvalue()
    with progress(Console(file=file, quiet=True)) as bar:
        bar.update(bar.add_task("train", total=9, note=""), completed=5)
    assert "5 of 9" not in file.getvalue()
