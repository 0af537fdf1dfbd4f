"""`nas devices` at any width of the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nas.cli import devices
from nas.devices import load_profile, profile_names
from tests.nas.conftest import nas as run
from tests.nas.conftest import refused

PROFILES = [load_profile(name) for name in profile_names()]
WIDTHS = pytest.mark.parametrize("width", [60, 80, 120])


def screen(width: int) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False)


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text
    return text.splitlines()


@WIDTHS
def test_every_name_is_whole(width: int) -> None:
    console = screen(width)
    devices._show_all(console, PROFILES)
    shown = lines(console)
    assert {line.split(" ")[0] for line in shown} >= set(profile_names())
    assert max(map(len, shown)) <= width


@WIDTHS
def test_what_a_profile_lets_one_choose_is_whole(width: int) -> None:
    for profile in PROFILES:
        console = screen(width)
        devices._show_profile(console, profile, profile.name)
        shown = lines(console)
        first = {line.split(" ")[0] for line in shown}
        assert first >= {*profile.backends, *(mode.name for mode in profile.modes)}
        assert shown[-1] == f"nas devices {profile.name} --sources"
        assert max(map(len, shown)) <= width
        assert len(shown) < 45


@WIDTHS
def test_sources_are_whole(width: int) -> None:
    for profile in PROFILES:
        console = screen(width)
        devices._show_sources(console, profile)
        text = "\n".join(lines(console))
        for figure in profile.figures():
            assert f"{figure} (" in text
            assert profile.source(figure) in text
        for generation in profile.sysfs.values():
            assert all(path in text for path in generation.power)


def test_a_description_is_text_and_no_markup() -> None:
    console = screen(80)
    devices._show_all(console, [PROFILES[0].model_copy(update={"description": "a [red] board"})])
    assert "a [red] board" in lines(console)[1]


def test_the_command_that_shows_sources_works_as_it_is_printed() -> None:
    command = run("devices", "nano").out.splitlines()[-1].split()
    assert run(*command[1:]).out.startswith("gpu_mhz (published): 76.8, ")


def test_sources_are_those_of_one_profile() -> None:
    refused(run("devices", "--sources"), "--sources", "name it")
    refused(run("devices", "host", "--sources"), "name it")
