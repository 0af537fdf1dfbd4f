"""`python -m nas`, its version, and what a shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest

from nas import __version__
from nas.__main__ import main


def module(*words: str, **environment: str) -> str:
    """What `python -m nas` prints."""
    return subprocess.run(
        [sys.executable, "-m", "nas", *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_version_is_that_of_the_package() -> None:
    assert module("--version") == f"nas {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str) -> None:
    words = {"COMP_WORDS": "nas sea", "COMP_CWORD": "1"} if shell == "bash" else {}
    asked = {"_NAS_COMPLETE": f"complete_{shell}"}
    typed = {"_TYPER_COMPLETE_ARGS": "nas sea", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    said = module(**asked, **words, **typed)
    assert "search" in said
    assert "export" not in said


def test_ctrl_c_while_it_loads_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "nas.cli.app", Loading("nas.cli.app"))
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "stopped\n"
